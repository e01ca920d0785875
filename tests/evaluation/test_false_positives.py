"""Verdicts under the null are false no more often than they say."""

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import null
from kdlib.evaluation import statistics
from kdlib.evaluation.intervals import wilson_interval

RUNS = 3000


def decided(verdicts):
    """Wilson's interval of the share of "higher" and "lower"."""
    return wilson_interval(sum(verdict in ("higher", "lower") for verdict in verdicts), len(verdicts))


def test_the_paired_test_errs_as_often_as_it_says():
    random = np.random.default_rng(0)
    low, high = decided([statistics.paired_gain(*random.normal(size=(2, 5)))["verdict"] for _ in range(RUNS)])
    assert low <= 0.05 <= high


def test_the_corrected_test_errs_as_often_as_it_says_where_splits_are_as_alike_as_it_takes_them_to_be():
    """Correlation of two splits' gains: test / (train + test). Nadeau and Bengio (2003), section 3."""
    random, shared = np.random.default_rng(0), 20 / 120
    gains = [np.sqrt(shared) * random.normal() + np.sqrt(1 - shared) * random.normal(size=10) for _ in range(RUNS)]
    low, high = decided([statistics.corrected_resampled_gain(gain, 100, 20)["verdict"] for gain in gains])
    assert low <= 0.05 <= high
    low, _ = decided([statistics.paired_gain(gain, np.zeros(10))["verdict"] for gain in gains])
    assert low > 0.15


ROWS = re.findall(r"^\| (over .+?) \| (\d+) \|(.+)\|$", Path(null.OUTPUT).read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize(("name", "verdicts", "cells"), ROWS, ids=[row[0] for row in ROWS])
def test_trained_networks_do_not_exceed_5_percent_significantly(name, verdicts, cells):
    assert int(verdicts) >= 200
    lows = [float(low) for low in re.findall(r"\((\S+) to", cells)]
    assert all(low <= nominal for low, nominal in zip(lows, (2.5, 2.5, 5), strict=True))


def test_every_test_and_measure_was_simulated():
    found = null.simulate(1)
    assert [", ".join(key) for key in found] == [row[0] for row in ROWS]
    assert {key[0]: len(verdicts) for key, verdicts in found.items()} == {
        "over replicas": null.SPLITS,
        "over splits, corrected": 1,
    }
