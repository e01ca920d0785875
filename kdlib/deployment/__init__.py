"""Networks that predict by themselves: the model file, the integer network, ONNX and C."""
