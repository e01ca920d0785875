"""How many threads a training takes, on machines whose time is simulated."""

import pytest

from kdlib.backends import threads
from kdlib.backends.arithmetic import FAST
from kdlib.backends.threads import Threads, ThreadTuner


class Machine:
    """A clock that a step moves on by its cost with the threads in use, of {threads: cost}."""

    def __init__(self, costs):
        self.costs, self.time, self.threads, self.used = costs, 0.0, None, []

    def use(self, threads):
        self.threads = threads

    def run(self, pace, steps):
        for _ in range(steps):
            self.time += self.costs[self.threads]
            self.used.append(self.threads)
            pace()


@pytest.mark.parametrize("costs", [{1: 1.0, 2: 0.55}, {1: 1.0, 2: 1.0}, {1: 1.0, 2: 1.4}, {1: 1.0, 2: 10.0}])
def test_the_time_is_near_that_of_the_better(costs):
    machine = Machine(costs)
    machine.run(ThreadTuner(machine.use, 2, lambda: machine.time), 1000)
    assert machine.time <= 1.15 * 1000 * min(costs.values())
    assert set(machine.used) == {1, 2}


def test_it_follows_the_load():
    machine = Machine({1: 1.0, 2: 0.6})
    pace = ThreadTuner(machine.use, 2, lambda: machine.time)
    machine.run(pace, 300)
    machine.costs = {1: 1.0, 2: 8.0}
    machine.run(pace, 300)
    assert machine.used[-100:].count(1) > 90
    machine.costs = {1: 1.0, 2: 0.6}
    machine.run(pace, 1200)
    assert machine.used[-100:].count(2) > 80


def test_a_slow_step_by_chance_costs_a_few_trials():
    machine = Machine({1: 1.0, 2: 0.6})
    pace = ThreadTuner(machine.use, 2, lambda: machine.time)
    for _ in range(20):
        machine.run(pace, 99)
        machine.time += 5.0
        pace()
    assert machine.used.count(2) > 0.6 * len(machine.used)


def test_a_lucky_trial_is_not_trusted():
    machine = Machine({1: 1.0, 2: 0.6})
    pace = ThreadTuner(machine.use, 2, lambda: machine.time)
    machine.run(pace, 2 * ThreadTuner.TRIAL)
    machine.costs = {1: 1.0, 2: 5.0}
    machine.run(pace, ThreadTuner.TRIAL)
    assert machine.used[-ThreadTuner.TRIAL :] == [2] + [1] * (ThreadTuner.TRIAL - 1)


def test_small_steps_have_one_thread_and_all_is_as_before_afterwards():
    threadpoolctl = pytest.importorskip("threadpoolctl", reason="no threadpoolctl (pip install threadpoolctl)")

    def blas():
        return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]

    before = blas()
    own = Threads()
    with own.tuned(threads.MIN_PARALLEL_PRODUCTS - 1):
        assert set(blas()) <= {1}
        assert own.ranges(100, 10 * threads.MIN_PARALLEL_ELEMENTS) == [(0, 100)]
    assert blas() == before


def test_plain_float32_keeps_its_threads(monkeypatch):
    monkeypatch.setattr(threads, "ThreadTuner", None)
    with Threads().tuned(10 * threads.MIN_PARALLEL_PRODUCTS, FAST.threads_matter) as after_step:
        after_step()


def test_a_limit_is_kept():
    threadpoolctl = pytest.importorskip("threadpoolctl", reason="no threadpoolctl (pip install threadpoolctl)")
    with Threads(1).tuned(10 * threads.MIN_PARALLEL_PRODUCTS) as after_step:
        for _ in range(20):
            after_step()
            pools = threadpoolctl.threadpool_info()
            assert all(pool["num_threads"] == 1 for pool in pools if pool["user_api"] == "blas")
