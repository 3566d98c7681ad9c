"""Weights packed for a page, and small pictures of them."""

import base64
import struct
import zlib

import numpy as np
import pytest

from pretrain.look import packing


def attention(num: int, *, scale: float, layers: int = 2, heads: int = 2, seed: int = 0):
    logits = np.random.default_rng(seed).normal(0, scale, (layers, heads, num, num))
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return (weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32)


def unpacked(head: str, num: int) -> np.ndarray:
    data = zlib.decompress(base64.b64decode(head))
    return np.frombuffer(data, dtype=np.uint8).reshape(num, num)


@pytest.mark.parametrize("scale", [0.01, 1, 4])
def test_weights_come_back_to_half_a_point(scale):
    weights = attention(40, scale=scale)
    found = packing.packed(weights)
    assert found.cutoff == 0 and len(found.heads) == 4
    for number, head in enumerate(found.heads):
        restored = packing.restored(unpacked(head, 40), window=None)
        own = weights.reshape(4, 40, 40)[number]
        assert np.abs(restored - own).max() < 0.005
        np.testing.assert_allclose(restored.sum(axis=1), 1)


def test_weights_that_do_not_fit_lose_their_smallest_and_rows_still_sum_to_one():
    weights = attention(200, scale=1)
    whole = sum(map(len, packing.packed(weights).heads))
    found = packing.packed(weights, room=whole // 3)
    assert found.cutoff > 0
    assert sum(map(len, found.heads)) <= whole // 3
    restored = packing.restored(unpacked(found.heads[0], 200), window=None)
    np.testing.assert_allclose(restored.sum(axis=1), 1)
    kept = weights[0, 0] >= found.cutoff
    assert np.abs(restored - weights[0, 0])[kept].max() < 0.02


def test_even_attention_is_even_again_although_all_is_left_out():
    levels = packing.quantised(np.full((300, 300), 1 / 300, np.float32), cutoff=0.01)
    assert not levels.any()
    np.testing.assert_allclose(packing.restored(levels, window=None), 1 / 300)


def test_what_a_window_hides_stays_hidden():
    levels = np.zeros((20, 20), np.uint8)
    restored = packing.restored(levels, window=3)
    assert restored[0, 4] == 0 and restored[0, 3] == pytest.approx(0.25)
    assert restored[10, 7] == pytest.approx(1 / 7)


def pixels(picture: str) -> np.ndarray:
    """Read a picture: signature, then chunks with their checksums."""
    data = base64.b64decode(picture)
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        kind, inner = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size : at + 12 + size])[0] == zlib.crc32(
            kind + inner
        )
        chunks[kind] = inner
        at += 12 + size
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    assert not rows[:, 0].any()
    nibbles = np.stack([rows[:, 1:] >> 4, rows[:, 1:] & 15], axis=-1).reshape(height, -1)
    return nibbles[:, :width]


@pytest.mark.parametrize("num", [1, 7, 64])
def test_a_picture_of_a_short_text_has_a_pixel_for_each_weight(num):
    weights = attention(num, scale=2)[0, 0]
    np.testing.assert_array_equal(
        pixels(packing.thumbnail(weights)), np.rint(15 * np.sqrt(weights)).astype(np.uint8)
    )


def test_a_picture_of_a_long_text_shows_a_diagonal_as_one():
    found = pixels(packing.thumbnail(np.eye(500, dtype=np.float32)))
    assert found.shape == (64, 64)
    np.testing.assert_array_equal(found, 15 * np.eye(64))
