"""Timing in rounds: each round times each system once, so that what else the machine does falls on all alike."""

import statistics
import time

PAUSE = 0.05  # s; BLAS and OpenMP threads spin for about 30 ms after their last work and would slow the next system


def timed(run):
    """Seconds of `run()`."""
    time.sleep(PAUSE)
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def rotated(names, count):
    """`names`, starting `count` places later."""
    count %= len(names)
    return names[count:] + names[:count]


def times(runs, rounds, before=None):
    """{name: [seconds of each round]}. runs: {name: function}. before: {name: function}, called untimed before it."""
    seconds = {name: [] for name in runs}
    for count in range(rounds):
        for name in rotated(list(runs), count):
            if before and name in before:
                before[name]()
            seconds[name].append(timed(runs[name]))
    return seconds


def summary(seconds, units):
    """{name: {microseconds, ratio, low, high}}: per unit of work, and against the first name in the same round.

    ratio above 1: slower than the first. microseconds and ratio are medians, low and high the range over the rounds.
    """
    first = next(iter(seconds.values()))
    result = {}
    for name, values in seconds.items():
        ratios = [value / reference for value, reference in zip(values, first, strict=True)]
        result[name] = {
            "microseconds": 1e6 * statistics.median(values) / units,
            "ratio": statistics.median(ratios),
            "low": min(ratios),
            "high": max(ratios),
        }
    return result
