"""The training kernels in NumPy and in numba, threads and ranks."""
