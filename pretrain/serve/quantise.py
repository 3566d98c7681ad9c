"""Weights in eight bits: an ONNX model of a quarter of the size that runs faster on a CPU.

Dynamic: each matrix is stored as int8 with a scale for each output, and its input is brought to
eight bits as it comes, by its own largest value. Nothing has to be calibrated, so that no language
is favoured by the text that was at hand.

Promises: the same results on CPUs with and without VNNI: weights take seven of the eight bits,
since processors without it add two products in sixteen bits, which overflow with eight.
Does not promise: the same answers. `onnx_model.check` says how far outputs are off; what that costs
a task, `koine compress` measures on the task's data.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import EnvironmentProblem

if TYPE_CHECKING:
    import onnx


def to_int8(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return an ONNX model with its matrices and its embeddings in eight bits.

    Args:
        proto: of `onnx_model.to_onnx`; left as it is.

    Raises:
        EnvironmentProblem: onnxruntime isn't installed.
    """
    try:
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise EnvironmentProblem(
            f"Eight bits can't be had: {error}.\n  `pip install onnx onnxruntime`."
        ) from error
    with tempfile.TemporaryDirectory() as place, _quiet():
        given, plain, small = (Path(place) / name for name in ("given", "plain", "int8"))
        onnx.save(proto, given)
        # Folds the transposed embeddings that an `mlm` head multiplies by into a matrix, the only
        # form that is quantised; the shapes are known, so that no symbols have to be solved for.
        quant_pre_process(given, plain, skip_symbolic_shape=True)
        quantize_dynamic(
            plain, small, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8
        )
        return onnx.load(small)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library from warning through the root logger."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
