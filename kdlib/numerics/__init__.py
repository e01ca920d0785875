"""Arithmetic whose results are the same bits on every machine, and the streams of random numbers."""
