"""How long the trainings of a stage will still take is told once, from epochs that were measured."""

import importlib.util
import io
import logging
from types import SimpleNamespace

import numpy as np
import pytest

from kdlib.backends.context import Context
from kdlib.learning.recipe import Recipe
from kdlib.pipeline import jobs
from kdlib.pipeline.command_line import PATHS, start_logging
from kdlib.pipeline.forecast import Forecast, Stopwatch, about
from kdlib.pipeline.work_units import TrainingSetup, WorkUnit
from tests.conftest import MAINS, quick_params


class Clock:
    """A clock that stands still until it is moved; each reading moves it by `step` seconds."""

    def __init__(self, step=0.0):
        self.now = 1000.0
        self.step = step

    def __call__(self):
        self.now += self.step
        return self.now


class Setup(TrainingSetup):
    def sizes(self, recipe):
        return 64, *recipe.hidden, 10


def unit(splits=1, first=0, **recipe):
    return WorkUnit(Recipe((8,), **{"epochs": 60} | recipe), tuple(range(first, first + splits)), (0, 1), (0, 1, 2, 3))


def forecast_of(units, clock, context=Context("numpy")):
    setup = Setup(SimpleNamespace(rows=[np.arange(1000)] * 20), None, None)
    return Forecast(setup, units, logging.getLogger("test"), context, clock)


def told(caplog, units, seconds, done=0, context=Context("numpy")):
    """The lines of a forecast while the first unit is trained; of its epochs `done` were done before."""
    clock = Clock()
    own = forecast_of(units, clock, context)
    with caplog.at_level("INFO"):
        for epoch, spent in enumerate(seconds, done + 1):
            clock.now += spent
            own.after_epoch(units[0], epoch)
    return [record.getMessage().split(";")[0] for record in caplog.records if record.levelname == "INFO"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (7.4, "about 7 seconds"),
        (38, "about 40 seconds"),
        (41, "about 40 seconds"),
        (89, "about 90 seconds"),
        (91, "about 2 minutes"),
        (170, "about 3 minutes"),
        (2400, "about 40 minutes"),
        (7000, "about 2 hours"),
        (30 * 3600, "about 30 hours"),
        (5 * 86400, "about 5 days"),
        (1e6 * 365 * 86400, "about 1,000,000 years"),
    ],
)
def test_a_time_in_words(seconds, words):
    assert about(seconds) == words


class TestOneProcess:
    def test_is_told_once_without_the_epoch_that_compiles(self, caplog):
        assert told(caplog, [unit(10)], [20, 0.6, 0.6, 0.6]) == ["80 networks, 60 epochs: about 35 seconds left"]

    def test_not_before_a_second_was_measured(self, caplog):
        assert told(caplog, [unit()], [20, 0.3, 0.3, 0.3]) == []

    def test_a_long_first_epoch_counts_if_nothing_compiles(self, caplog, monkeypatch):
        assert told(caplog, [unit()], [100]) == ["8 networks, 60 epochs: about 2 hours left"]
        caplog.clear()
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
        assert told(caplog, [unit()], [100], context=Context()) == []
        assert told(caplog, [unit()], [100, 10], context=Context()) == ["8 networks, 60 epochs: about 10 minutes left"]

    def test_a_short_training_is_not_told(self, caplog):
        assert told(caplog, [unit(epochs=6)], [20, 1, 1, 1, 1, 1]) == []
        assert told(caplog, [unit(epochs=7)], [20, 1]) == ["8 networks, 7 epochs: about 5 seconds left"]

    def test_what_a_checkpoint_has_is_not_counted(self, caplog):
        assert told(caplog, [unit()], [3, 2], done=40) == ["8 networks, 60 epochs: about 35 seconds left"]

    def test_other_units_count_by_their_work(self, caplog):
        """Twice as many networks take nearly twice as long; half as many epochs, half as long."""
        units = [unit(2), unit(4, first=2, epochs=30)]
        assert told(caplog, units, [3, 2]) == ["48 networks, 60 epochs: about 4 minutes left"]

    def test_early_stopping_makes_it_an_upper_bound(self, caplog):
        assert told(caplog, [unit(patience=5)], [3, 1]) == ["8 networks, 60 epochs: at most about 60 seconds left"]

    def test_a_unit_that_stopped_early_is_not_waited_for(self):
        clock = Clock()
        units = [unit(), unit(first=1)]
        own = forecast_of(units, clock)
        for epoch in (1, 2):
            clock.now += 2
            own.after_epoch(units[0], epoch)
        assert own.time_left() == "about 4 minutes left"
        own.after_unit(units[0])
        assert own.time_left() == "about 2 minutes left"


@pytest.mark.parametrize(
    ("kernels", "numba", "seconds", "recipe", "hinted"),
    [
        ("numpy", True, 3, {}, True),
        ("auto", False, 3, {}, True),
        ("numba", False, 3, {}, True),
        ("auto", True, 3, {}, False),
        ("numpy", True, 2, {}, False),
        ("numpy", True, 3, {"bits": 4}, False),
    ],
)
def test_a_long_run_without_numba_is_told_of_it(kernels, numba, seconds, recipe, hinted, caplog, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: numba or None)
    assert told(caplog, [unit(**recipe)], [3, seconds], context=Context(kernels))
    assert ("execution.kernels, docs/troubleshooting.md#it-is-slow" in caplog.text) == hinted


@pytest.mark.parametrize(("units", "processes", "words"), [(20, 4, "about 4 minutes"), (5, 4, "about 60 seconds")])
def test_processes_share_the_units(units, processes, words, caplog):
    """In rounds: when the first of 20 units is done, 4 processes have 4 rounds left; of 5 units, one."""
    parts = [unit(first=k) for k in range(units)]
    with caplog.at_level("INFO"):
        forecast_of(parts, Clock()).after_unit(parts[0], 59.0, 59, processes)
    assert f"{8 * units} networks, 60 epochs: {words} left" in caplog.text


def test_the_last_round_of_the_processes_is_not_told(caplog):
    parts = [unit(first=k) for k in range(4)]
    with caplog.at_level("INFO"):
        forecast_of(parts, Clock()).after_unit(parts[0], 59.0, 59, 4)
    assert caplog.text == ""


def test_a_stopwatch_counts_the_epochs_after_the_first():
    clock = Clock()
    stopwatch = Stopwatch("auto", clock)
    for spent in (50, 2, 3):
        clock.now += spent
        stopwatch()
    assert (stopwatch.seconds, stopwatch.epochs) == (5, 2)


class TestStage:
    """The clock moves by a second with each reading, so each epoch takes a second."""

    @pytest.fixture(autouse=True)
    def prepared(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        MAINS["prepare"](quick_params())
        monkeypatch.setattr(jobs, "Forecast", lambda *given: Forecast(*given, Clock(step=1)))

    def test_tells_it_in_the_log_only(self, caplog, tmp_path, monkeypatch):
        with caplog.at_level("INFO"):
            MAINS["train_baseline"](quick_params(student={"epochs": 12}))
        line = "2 networks, 12 epochs: about 10 seconds left"
        assert [record.getMessage() for record in caplog.records if "left" in record.getMessage()] == [line]
        own = (tmp_path / PATHS.baseline).read_bytes()
        monkeypatch.setattr(jobs, "Forecast", Forecast)
        MAINS["train_baseline"](quick_params(student={"epochs": 12}))
        assert (tmp_path / PATHS.baseline).read_bytes() == own

    def test_counts_what_is_left_of_a_resumed_run(self, caplog, monkeypatch):
        params = quick_params(student={"epochs": 20}, checkpoint=1)

        class KilledError(Exception):
            pass

        def killed(self, epoch, loss, accuracy):
            if epoch == 10:
                raise KilledError

        with monkeypatch.context() as patch:
            patch.setattr(jobs.Progress, "__call__", killed)
            with pytest.raises(KilledError):
                MAINS["train_baseline"](params)
        with caplog.at_level("INFO"):
            MAINS["train_baseline"](params)
        assert "2 networks, 20 epochs: about 8 seconds left" in caplog.text

    def test_its_line_does_not_run_into_the_bar(self, monkeypatch):
        class Terminal(io.StringIO):
            def isatty(self):
                return True

        screen = Terminal()
        monkeypatch.setattr("sys.stderr", screen)
        params = quick_params(student={"epochs": 12}, logging={"level": "INFO"})
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        try:
            start_logging(params)
            MAINS["train_baseline"](params)
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)
        lines = screen.getvalue().replace("\r", "\n").splitlines()
        assert any(line.startswith(f"{PATHS.baseline}: 100%") for line in lines)
        assert [line[8:] for line in lines if "12 epochs: about" in line] == [
            f" INFO {PATHS.baseline}: 2 networks, 12 epochs: about 10 seconds left"
        ]
