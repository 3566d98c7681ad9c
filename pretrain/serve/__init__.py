"""Hand a model over: ONNX, eight bits, and predictions from the terminal."""
