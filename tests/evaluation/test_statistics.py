"""Intervals, tests and verdicts against tables, high precision and their definitions."""

from fractions import Fraction
from math import comb, inf

import mpmath
import numpy as np
import pytest

from kdlib.evaluation import intervals, statistics
from kdlib.reporting.table import gain_line


def test_mean_and_std_have_the_divisor_n_minus_1():
    values = [1.0, 2.0, 4.0]
    assert statistics.mean_and_std(values)["std"] == pytest.approx(np.std(values, ddof=1), rel=1e-12)
    assert statistics.mean_and_std([3.0]) == {"mean": 3.0}


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (9, 2.262), (10, 2.228), (30, 2.042), (120, 1.980)],
)
def test_student_t_is_the_printed_tables(degrees, quantile):
    assert round(intervals.student_t_95(degrees), 3) == quantile


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 6, 9, 29, 30, 99, 999])
def test_student_t_in_high_precision(degrees):
    t = mpmath.mpf(intervals.student_t_95(degrees))
    with mpmath.workdps(30):
        outside = mpmath.betainc(mpmath.mpf(degrees) / 2, 0.5, 0, degrees / (degrees + t * t), regularized=True)
        assert float(outside) == pytest.approx(0.05, rel=1e-12)


def test_student_t_tends_to_the_normal_point():
    points = [intervals.student_t_95(degrees) for degrees in range(1, 1001)]
    assert points == sorted(points, reverse=True)
    assert 0 < points[-1] - intervals.NORMAL_95 < 0.003


class TestVerdicts:
    CONTROL = np.array([0.5, 0.6, 0.7, 0.4])
    UP = np.array([0.10, 0.11, 0.12, 0.09])

    def test_within_the_interval(self):
        gain = statistics.paired_gain(self.CONTROL + np.array([0.01, -0.01, 0.02, -0.02]), self.CONTROL)
        assert gain["verdict"] == "no significant difference"

    def test_outside(self):
        up = statistics.paired_gain(self.CONTROL + self.UP, self.CONTROL)
        assert up["verdict"] == "higher"
        assert up["mean"] == pytest.approx(0.105)
        assert up["standard_error"] == pytest.approx(np.std(self.UP, ddof=1) / 2)
        assert statistics.paired_gain(self.CONTROL, self.CONTROL + self.UP)["verdict"] == "lower"

    @pytest.mark.parametrize(("mean", "verdict"), [(3.18, "no significant difference"), (3.19, "higher")])
    def test_the_border_is_students_t(self, mean, verdict):
        """Differences mean ± sqrt(3) have the standard error 1; with 3 degrees of freedom t is 3.182."""
        spread = np.array([-1, -1, 1, 1]) * np.sqrt(3.0)
        assert statistics.paired_gain(mean + spread, np.zeros(4))["verdict"] == verdict

    def test_pairing_sees_what_unpaired_spread_hides(self):
        control = np.array([0.1, 0.9, 0.4, 0.6])
        assert statistics.paired_gain(control + np.array([0.01, 0.011, 0.01, 0.011]), control)["verdict"] == "higher"

    def test_one_difference_tells_nothing(self):
        mean = pytest.approx(0.1)
        assert statistics.paired_gain([0.5], [0.4]) == {"mean": mean, "verdict": "one replica, no verdict"}
        assert statistics.corrected_resampled_gain([0.1], 80, 10) == {"mean": mean, "verdict": "one split, no verdict"}

    @pytest.mark.parametrize("control", [np.zeros(5), np.array([0.1, 0.9, 0.4, 0.6, 0.3])])
    def test_without_spread_nothing_is_decided(self, control):
        """Nor where rounding makes equal differences unequal."""
        assert statistics.paired_gain(control + 0.01, control)["verdict"] == statistics.ALL_EQUAL
        gain = statistics.corrected_resampled_gain(control + 0.01 - control, 80, 10)
        assert gain["verdict"] == statistics.ALL_EQUAL

    def test_equal_differences_have_no_spread_to_show_and_nll_may_speak(self):
        equal = statistics.paired_gain(np.array([0.90, 0.80, 0.70]) + 1 / 150, np.array([0.90, 0.80, 0.70]))
        nll = statistics.paired_gain([0.2, 0.21, 0.19], [0.3, 0.315, 0.292])
        result = {"gain": {"test": {"accuracy": equal, "nll": nll | {"verdict": "better"}}}}
        assert gain_line(result, "test", "accuracy") == (
            "test accuracy, student - baseline: +0.67 points: all differences are equal, no verdict;"
            " NLL has finer steps"
        )
        assert " nats (95 % interval -0." in gain_line(result, "test", "nll")
        assert gain_line(result, "test", "nll").endswith("): the student is better")
        of_integers = {"gain": {"test": {"accuracy": equal}}}
        assert gain_line(of_integers, "test", "accuracy").endswith("are equal, no verdict")

    def test_the_line_has_the_interval_that_decides(self):
        """Differences 1, 2 and 3 points: mean 2, standard error 1 / sqrt(3), 95 % point 4.303 of 2 degrees."""
        gain = statistics.paired_gain([0.81, 0.82, 0.83], [0.80, 0.80, 0.80])
        assert (gain["low"], gain["high"]) == pytest.approx(
            (0.02 - 0.04303 / 3**0.5, 0.02 + 0.04303 / 3**0.5), abs=1e-5
        )
        assert gain_line({"gain": {"test": {"roc_auc": gain}}}, "test", "roc_auc") == (
            "test ROC AUC, student - baseline: +2.00 ± 0.58 points (95 % interval -0.48 to +4.48):"
            " no significant difference"
        )

    def test_an_undefined_difference_is_left_out(self):
        values = np.array([0.1, np.nan, 0.3])
        assert statistics.paired_gain(values, np.zeros(3)) == statistics.paired_gain(values[[0, 2]], np.zeros(2))
        assert statistics.corrected_resampled_gain(values, 80, 20) == statistics.corrected_resampled_gain(
            values[[0, 2]], 80, 20
        )
        assert statistics.mean_and_std(values) == statistics.mean_and_std(values[[0, 2]])
        stacks = [np.array([0.1, 0.2]), np.full(2, np.nan), np.array([0.3, 0.5])]
        assert statistics.mean_and_std_over_splits(stacks) == statistics.mean_and_std_over_splits(
            [stacks[0], stacks[2]]
        )

    def test_without_any_there_is_a_dash_and_no_verdict(self):
        nothing = statistics.paired_gain(np.full(3, np.nan), np.zeros(3))
        assert nothing == {"mean": None, "verdict": statistics.ONE_CLASS}
        assert statistics.mean_and_std_over_splits([np.full(2, np.nan)] * 3) == {"mean": None}
        assert gain_line({"gain": {"test": {"roc_auc": nothing}}}, "test", "roc_auc") == (
            "test ROC AUC, student - baseline: –: the examples have one class, no verdict"
        )

    def test_no_difference_at_all_is_none(self):
        assert statistics.paired_gain(self.CONTROL, self.CONTROL)["verdict"] == "no significant difference"


class TestCorrectedResampled:
    def test_by_hand(self):
        """Nadeau and Bengio's equation: (1/S + n2/n1) s^2."""
        differences = np.array([0.02, 0.01, 0.03, 0.02, 0.00])
        gain = statistics.corrected_resampled_gain(differences, 80, 20)
        assert gain["mean"] == pytest.approx(0.016)
        assert gain["standard_error"] == pytest.approx(np.sqrt((1 / 5 + 20 / 80) * np.var(differences, ddof=1)))

    def test_it_decides_less_than_the_test_that_takes_splits_for_independent(self):
        differences = np.array([0.02, 0.01, 0.03, 0.02, 0.00])
        assert statistics.paired_gain(differences, np.zeros(5))["verdict"] == "higher"
        assert statistics.corrected_resampled_gain(differences, 80, 20)["verdict"] == "no significant difference"
        assert statistics.corrected_resampled_gain(differences, 8000, 20)["verdict"] == "higher"


class TestWilson:
    def test_by_hand(self):
        """Brown, Cai and DasGupta's formula for 10 of 40."""
        low, high = intervals.wilson_interval(10, 40)
        assert (round(low, 4), round(high, 4)) == (0.1419, 0.4019)

    @pytest.mark.parametrize(("correct", "n"), [(0, 18), (1, 7), (9, 18), (17.3, 18), (18, 18), (1700, 1797)])
    def test_its_ends_are_95_percent_points_of_the_score_test(self, correct, n):
        """|p - end| = z sqrt(end (1 - end) / n): the definition."""
        for end in intervals.wilson_interval(correct, n):
            error = intervals.NORMAL_95 * np.sqrt(end * (1 - end) / n)
            assert abs(correct / n - end) == pytest.approx(error, abs=1e-9)

    def test_it_has_a_width_where_all_are_right(self):
        low, high = intervals.wilson_interval(18, 18)
        assert low == pytest.approx(18 / (18 + intervals.NORMAL_95**2))
        assert high == pytest.approx(1)
        assert intervals.wilson_interval(0, 18)[0] == 0


class TestMcNemar:
    @pytest.mark.parametrize(("first", "second"), [(0, 0), (0, 5), (1, 9), (5, 5), (30, 70), (2, 1)])
    def test_is_twice_the_binomials_tail(self, first, second):
        n = first + second
        tail = sum(Fraction(comb(n, k), 2**n) for k in range(min(first, second) + 1))
        assert intervals.mcnemar_p_value(first, second) == float(min(Fraction(1), 2 * tail))
        assert intervals.mcnemar_p_value(first, second) == intervals.mcnemar_p_value(second, first)

    def test_of_thousands_is_finite(self):
        assert intervals.mcnemar_p_value(8000, 9000) == pytest.approx(1.80018985e-14)
        assert 0 < intervals.mcnemar_p_value(400, 600) < 1e-9 < intervals.mcnemar_p_value(4990, 5010) < inf
