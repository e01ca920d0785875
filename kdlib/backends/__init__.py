"""The training kernels in NumPy and in numba, their arithmetics, threads and ranks."""
