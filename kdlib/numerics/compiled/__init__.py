"""`kdlib.numerics.blocks` and the passes of training, compiled by numba: the same bits in exact arithmetic."""
