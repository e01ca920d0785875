"""Measure trained networks on held-out examples: metrics, statistics, detection of collapsed trainings."""
