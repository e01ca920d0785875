"""Attacks on the pipeline: `python -m tests.fuzz --minutes 60 --seed 0`."""
