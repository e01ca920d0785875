"""`kdlib.backends.numpy_backend` and the passes of training, compiled by numba: the same bits in exact arithmetic."""
