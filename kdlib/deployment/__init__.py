"""What leaves the project: one network in one file that predicts by itself, its integers, ONNX and C."""
