"""Benchmarks of kdlib against PyTorch, scikit-learn and the matrix products alone: `python -m benchmarks.training`."""

import os

# OpenBLAS reads them when NumPy is first imported. Both make a current NumPy slower than it is by itself.
UNSET = {name: os.environ.pop(name) for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE") if name in os.environ}
