"""The compiled kernels: NumPy's bits, no contracted operation, and what happens where numba is not to be had."""

import logging
import multiprocessing
import platform
import re
import sys

import numpy as np
import pytest

from kdlib.backends import context, threads
from kdlib.backends.arithmetic import EXACT, FAST
from kdlib.backends.context import Context, Workload
from kdlib.backends.numpy_backend import NUMPY
from kdlib.backends.ranks import SINGLE_RANK, Ranks
from kdlib.backends.threads import Threads
from kdlib.data.scaled import ScaledRows
from kdlib.learning import epoch, steps
from kdlib.learning.backend_check import differences, same_bits, sizes_of
from kdlib.learning.backpropagation import Backpropagation
from kdlib.learning.inputs import Inputs
from kdlib.learning.losses import LOSSES
from kdlib.learning.network import Network
from kdlib.learning.objectives import CrossEntropy, Distillation
from kdlib.learning.optimizers import OPTIMIZERS, optimizer, sgd_rule
from kdlib.learning.recipe import Recipe
from kdlib.learning.schedules import LinearSchedule
from kdlib.learning.training import train
from kdlib.numerics.grids import MAX_TERMS, Grid
from kdlib.numerics.streams import REPLICAS_PER_SPLIT, Streams

SGD = Recipe()
RECIPES = {
    **{name: Recipe(optimizer=name) for name in OPTIMIZERS},
    **{f"{name}, decay": Recipe(optimizer=name, weight_decay=0.01) for name in OPTIMIZERS},
    "SGD, Nesterov": Recipe(nesterov=True),
    "SGD, Nesterov, decay": Recipe(nesterov=True, weight_decay=0.01),
    "norms": Recipe(max_norm=0.7),
}
FUSED = {"x86": r"\bvfn?m(?:add|sub)\w*", "arm64": r"\bfn?m(?:add|sub|la|ls)\b"}


@pytest.fixture(autouse=True)
def _as_before():
    yield
    context._numba.cache_clear()
    context._agreed.clear()


@pytest.fixture
def calls():
    pytest.importorskip("numba", reason="no numba (pip install numba scipy)")
    from kdlib.backends.numba_backend import calls

    return calls


@pytest.fixture
def numba(calls):
    return calls.NumbaBackend(Threads())


@pytest.mark.parametrize("name", ["adam", *(pytest.param(n, marks=pytest.mark.slow) for n in RECIPES if n != "adam")])
def test_bits_are_those_of_numpy_for_numbers_of_all_kinds(numba, name):
    assert differences(numba, RECIPES[name], range(20)) == ""


@pytest.mark.slow
@pytest.mark.parametrize("layers", [1, 2, 4])
def test_bits_are_those_of_numpy_for_any_number_of_layers(numba, layers):
    assert sizes_of(layers) == {1: (33, 5), 2: (33, 17, 5), 4: (33, 17, 9, 9, 5)}[layers]
    assert differences(numba, RECIPES["adam"], range(6), layers) == ""


def test_one_compiled_loop_reads_data_of_every_kind(calls, numba):
    random = np.random.default_rng(0)
    before = set(calls.gather_rows.signatures)
    rows, grid = random.integers(0, 9, (2, 5)), Grid(8)
    for dtype in (np.uint8, np.float32, np.float64):
        x = random.integers(0, 256, (9, 6)).astype(dtype)
        read_only = x.copy()
        read_only.flags.writeable = False
        at_any_byte = np.empty(x.nbytes + 1, np.uint8)[1:].view(dtype).reshape(x.shape)
        at_any_byte[:] = x
        for given in (x, read_only, at_any_byte):
            found = []
            for backend in (NUMPY, numba):
                out, unit = np.empty((2, 5, 6), np.float32), np.empty((2, 5, 1), np.float32)
                backend.gather(given, rows, np.full(6, 0.1), np.full(6, 0.3), grid, out, unit)
                found.append((out, unit))
            assert all(map(same_bits, *found))
    assert len(set(calls.gather_rows.signatures) - before) <= 1


@pytest.mark.parametrize("name", ["sgd", pytest.param("norms", marks=pytest.mark.slow)])
def test_passes_layer_by_layer_have_the_same_bits(calls, numba, monkeypatch, name):
    monkeypatch.setattr(calls, "MIN_WIDE_PRODUCTS", 0)
    assert differences(numba, RECIPES[name], range(20)) == ""


@pytest.mark.parametrize(
    ("sizes", "rows", "kind"), [((784, 1200, 1200, 10), 64, "WidePasses"), ((784, 1200, 1200, 10), 2, "Passes")]
)
def test_only_wide_networks_go_layer_by_layer(numba, sizes, rows, kind):
    layers = Backpropagation(Network(sizes, 1, EXACT), rows, backend=numba).layers
    assert type(numba.passes(layers, rows)).__name__ == kind


def test_a_difference_is_told(calls):
    class OtherUpdate(calls.NumbaBackend):
        def update(self, rule, constants, arrays, layers=None, flush=None):
            super().update(rule, constants, arrays, layers, flush)
            arrays["p"][0, 0] = np.nextafter(arrays["p"][0, 0], np.float32(9))

    class Late(calls.Steps):
        def __call__(self, data, loss, losses, factors, flush):
            super().__call__(data, loss, losses, factors[[0, 0]], flush)

    class OtherSteps(calls.NumbaBackend):
        def steps(self, *arguments):
            return Late(self.threads, *arguments)

    class OtherProduct(calls.NumbaBackend):
        product = staticmethod(lambda a, b: np.matmul(a, b.round(-1)))

    class OtherDivergence(calls.NumbaBackend):
        def divergence(self, *arguments):
            return super().divergence(*arguments) + 1

    found = differences(OtherDivergence(Threads()), SGD)
    assert found == ", ".join(f"{name} {step}" for step in range(3) for name in ("divergences", "cross-entropies"))
    assert differences(OtherUpdate(Threads()), SGD) == "parameters"
    assert differences(OtherSteps(Threads()), SGD) == "parameters in steps, weights in steps"
    assert differences(OtherProduct(Threads()), SGD) == "products"


@pytest.mark.parametrize("name", ["adam", pytest.param("norms", marks=pytest.mark.slow)])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_threads_change_no_bit(calls, monkeypatch, count, name):
    monkeypatch.setattr(threads, "MIN_PARALLEL_ELEMENTS", 1)
    assert differences(calls.NumbaBackend(Threads(count)), RECIPES[name]) == ""


@pytest.mark.slow
def test_norms_are_compared_also_where_the_rule_alone_was(calls, monkeypatch):
    monkeypatch.setattr(calls.NumbaBackend, "constrain", lambda self, layers, max_norm: None)
    x, one_hot = np.random.default_rng(0).random((20, 6)), np.eye(2)[np.arange(20) % 2]
    for max_norm in (None, 0.5):
        train(x, CrossEntropy(one_hot), Recipe((4,), 1, max_norm=max_norm), context=Context("numba"))
    assert list(context._agreed.values()) == [True, False]


def trained(objective, hidden, optimizer, kernels):
    x = np.random.default_rng(0).random((100, 20))
    more = {"dropout": 0.2, "max_norm": 1.2} if len(hidden) > 1 else {}
    recipe = Recipe(hidden, 3, 0.01, 32, optimizer, **more)
    validation = x[:20], np.arange(20) % 10
    network, curve = train(x, objective, recipe, validation, Streams(0, "t", (0, 1)), context=Context(kernels))
    return [network.parameters, *curve.values()]


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("hidden", [(), (16,), (1100, 30)])
@pytest.mark.parametrize("arithmetic", [EXACT, FAST])
def test_a_training_has_the_same_bytes(calls, arithmetic, hidden, optimizer):
    """In exact arithmetic; in plain float32, whose sums another BLAS adds up, the same to a few last places."""
    one_hot, teacher = np.eye(10)[np.arange(100) % 10], np.random.default_rng(1).normal(size=(100, 10))
    for objective in (CrossEntropy(one_hot, arithmetic), Distillation(one_hot, teacher, arithmetic)):
        expected = trained(objective, hidden, optimizer, "numpy")
        found = trained(objective, hidden, optimizer, "numba")
        assert context._agreed
        if arithmetic is EXACT:
            assert all(map(same_bits, expected, found))
        else:
            assert np.allclose(expected[0], found[0], atol=1e-3)


@pytest.mark.parametrize("layer_by_layer", [False, True])
def test_errors_go_back_through_more_units_than_an_exact_sum_has_terms(calls, monkeypatch, layer_by_layer):
    if layer_by_layer:
        monkeypatch.setattr(calls, "MIN_WIDE_PRODUCTS", 0)
    found, objective = [], CrossEntropy(np.eye(10)[np.arange(100) % 10], EXACT)
    for kind in ("numpy", "numba"):
        found.append(trained(objective, (30, MAX_TERMS + 76), "sgd", kind))
    assert all(map(same_bits, *found))


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
def test_a_training_by_each_loss_has_the_same_bytes(calls, loss):
    one_hot, teacher = np.eye(10)[np.arange(100) % 10], np.random.default_rng(1).normal(size=(100, 10))
    one_hot[::3] = 0 if loss != "dkd" else one_hot[::3]
    objective = Distillation(one_hot, teacher, EXACT, loss=loss)
    assert all(map(same_bits, *(trained(objective, (16,), "sgd", kernels) for kernels in ("numpy", "numba"))))


SETTINGS = {
    "numbers": {"temperature": [1, 4, 1, 4], "alpha": [0.0, 0.7, 1.0, 0.7]},
    "schedules": {
        "temperature": [LinearSchedule(1, 4), 4, LinearSchedule(8, 2), 4],
        "alpha": [LinearSchedule(0, 1), LinearSchedule(0, 1), 0.0, LinearSchedule(0, 0.5)],
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float16])
def test_an_epoch_in_few_calls_has_the_same_bytes(calls, monkeypatch, count, optimizer, dtype, name):
    """Two splits, of two settings and two replicas each; pieces of an epoch, and a last batch of other size."""
    monkeypatch.setattr(epoch, "MAX_BUFFERED_LOGITS", 8 * 4 * 20)
    random, found, calls = np.random.default_rng(0), [], []
    x, one_hot = random.integers(0, 256, (90, 12)).astype(dtype), np.eye(4)[random.integers(0, 4, (2, 70))]
    splits = [ScaledRows(x, random.permutation(90)[:70], random.random(12), random.random(12) / 100) for _ in range(2)]
    teacher = random.normal(size=(2, 70, 4))
    objective = Distillation(one_hot, teacher, EXACT, **SETTINGS[name])
    recipe = Recipe((9,), 3, (0.01, 0.02, 0.01, 0.03), 20, optimizer, schedule="linear", warmup=0.2, weight_decay=0.01)
    validation = [(split[:9], labels[:9]) for split, labels in zip(splits, one_hot, strict=True)]
    streams = Streams(0, "t", (0, 1) * 2 + (REPLICAS_PER_SPLIT, REPLICAS_PER_SPLIT + 1) * 2)
    monkeypatch.setattr(steps.CompiledSteps, "__call__", counted(steps.CompiledSteps.__call__, calls))
    for kind in ("numpy", "numba"):
        network, curve = train(splits, objective, recipe, validation, streams, context=Context(kind, count))
        found.append([network.parameters, *curve.values()])
        assert len(calls) == (3 if kind == "numba" and dtype != np.float16 else 0)
    assert all(map(same_bits, *found))


def counted(function, calls):
    def wrapper(*arguments):
        calls.append(arguments)
        return function(*arguments)

    return wrapper


@pytest.mark.slow
def test_a_batch_of_more_rows_than_a_sum_has_the_same_bytes(calls):
    """All errors of a class have one sign, so that their sum has more bits than float32."""
    x, one_hot, found = np.random.default_rng(0).normal(size=(3000, 6)), np.eye(4)[np.zeros(3000, int)], []
    for kind in ("numpy", "numba"):
        network, _ = train(x, CrossEntropy(one_hot), Recipe((8,), 1, 0.01, 2500), context=Context(kind))
        found.append(network.parameters)
    assert same_bits(*found)


@pytest.mark.slow
def test_the_loop_of_steps_is_compiled_once_for_all_data_and_losses(calls):
    from kdlib.backends.numba_backend.steps import make_step_loop

    random = np.random.default_rng(0)
    one_hot, teacher = np.eye(4)[random.integers(0, 4, 70)], random.normal(size=(70, 4))
    make_step_loop.cache_clear()
    for dtype in (np.uint8, np.float64):
        x = random.integers(0, 256, (70, 12)).astype(dtype)
        for objective in (CrossEntropy(one_hot, EXACT), Distillation(one_hot, teacher, EXACT)):
            for replicas in ((0,), (0, 1)):
                streams = Streams(0, "t", replicas)
                for order in ("C", "F"):
                    rows = ScaledRows(x.astype(dtype, order), np.arange(70), np.zeros(12), np.full(12, 0.01))
                    train(rows, objective, Recipe((9,), 2, 0.01, 20), streams=streams, context=Context("numba"))
    loop = make_step_loop(sgd_rule(False, False), 1, calls.exact_exp)
    assert len(loop.signatures) == 1


def _child(backend, queue):
    queue.put(differences(backend, SGD))


@pytest.mark.skipif(not hasattr(multiprocessing, "get_context") or sys.platform == "win32", reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_has_threads_of_its_own(calls, monkeypatch):
    monkeypatch.setattr(threads, "MIN_PARALLEL_ELEMENTS", 1)
    backend = calls.NumbaBackend(Threads(3))
    assert differences(backend, SGD) == ""
    fork = multiprocessing.get_context("fork")
    queue = fork.Queue()
    child = fork.Process(target=_child, args=(backend, queue))
    child.start()
    assert queue.get(timeout=60) == ""
    child.join()


def compiled(calls):
    """{name: the functions that Python calls}, compiled for the arguments that they got: not loaded from a file."""
    from kdlib.backends.numba_backend.scalars import jit

    found = {}
    for name, function in called(calls).items():
        assert function.signatures, name
        found[name] = jit(function.py_func)
        for signature in function.signatures:
            found[name].compile(signature)
    return found


def called(calls):
    """{name: the compiled functions that Python calls}, after they have run."""
    from kdlib.backends.numba_backend import passes, row_loops, steps, updates

    given = {}
    for name in [*(f"{name}, decay" for name in OPTIMIZERS), "SGD, Nesterov, decay"]:
        made = optimizer(np.zeros((1, 1)), RECIPES[name])
        given[name] = made.rule, len(made.moment_names)
    backend = calls.NumbaBackend(Threads())
    for name in (*given, "norms"):
        assert differences(backend, RECIPES[name]) == ""
    backend.divergence(np.zeros((2, 3, 4)), np.full((2, 3, 4), 0.25), None, 4.0, EXACT)
    backend.softmax_gradient(np.zeros((2, 3, 4)), np.full((2, 3, 4), 0.25), 4.0, EXACT)
    softened = {"sum_exponentials": calls.sum_exponentials, "divergences": calls.divergences}
    softened |= {
        f"soften {power.__name__}": calls.make_softmax_gradient_loop(power)
        for power in (calls.exact_exp, calls.fast_exp)
    }
    softened["soften fast_exp"](
        *np.ones((2, 3, 4), np.float32),
        np.ones(1, np.float32),
        np.float32(0),
        np.ones((3, 4), np.float32),
        np.ones(3, np.float32),
        0,
        3,
    )
    return softened | {
        "snap_rows": row_loops.snap_rows, "forward": passes.forward, "backward": passes.backward,
        "update_grids": updates.update_grids,
        "square_sums": updates.square_sums, "shrink": updates.shrink,
        **{name: updates.make_update_loop(*rule) for name, rule in given.items()},
        **{f"{name}, steps": steps.make_step_loop(*rule, calls.exact_exp) for name, rule in given.items()},
    }  # fmt: skip


def arm64(function, signature):
    """The assembly of a compiled function for arm64: its LLVM code, with x86's counting of references left out."""
    import llvmlite.binding as llvm

    code = re.sub(r"^target .*$|\"target-(cpu|features)\"=\"[^\"]*\"", "", function.inspect_llvm(signature), flags=re.M)
    code = re.sub(r"= (tail )?call i8 @llvm\.x86\.atomic[^\n]*", "= add i8 0, 0", code)
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple("aarch64-unknown-linux-gnu").create_target_machine(opt=3)
    return machine.emit_assembly(llvm.parse_assembly(code))


def fused(function):
    """{system: the fused instructions} in all that a function was compiled to; x86 where this machine is one."""
    texts = {"arm64": [arm64(function, signature) for signature in function.signatures]}
    if platform.machine().lower() in ("x86_64", "amd64"):
        texts["x86"] = [function.inspect_asm(signature) for signature in function.signatures]
    return {system: re.findall(FUSED[system], "\n".join(of_system)) for system, of_system in texts.items()}


@pytest.mark.slow
def test_no_multiplication_is_fused_with_an_addition(calls):
    for name, function in compiled(calls).items():
        assert function.signatures, name
        assert set(map(tuple, fused(function).values())) == {()}, name


def test_the_search_finds_a_fused_one(calls):
    import numba

    @numba.njit(fastmath=True)
    def sums(a, b):
        for i in range(a.size):
            a[i] = a[i] * b[i] + b[0]

    sums(np.ones(9), np.ones(9))
    assert fused(sums)["arm64"]


def used(kernels, steps=1, ranks=SINGLE_RANK):
    work = Workload(sgd_rule(False, False), False, 3, steps, 1000, "exact")
    backend = Context(kernels, ranks=ranks).backend(Threads(), work, lambda backend: differences(backend, SGD))
    return type(backend).__name__


@pytest.mark.parametrize("arithmetic", [EXACT, FAST])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int16])
def test_compiled_loops_make_the_batches_of_one_large_array(numba, monkeypatch, dtype, arithmetic):
    monkeypatch.setattr(type(numba), "max_held", 100)
    x = (np.random.default_rng(0).random((40, 3, 2)) * 200).astype(dtype)
    network = Network((6, 2), 2, arithmetic)
    found = []
    for backend in (NUMPY, numba):
        inputs = Inputs([x], network, Backpropagation(network, 5, backend=backend).dense[0], backend)
        found.append(inputs(np.array([[3, 1, 39, 0, 3], [7, 8, 9, 1, 2]])))
    assert ("_whole" in vars(inputs)) == (dtype is np.int16)  # which compiled loops do not read
    for expected, array in zip(*found, strict=True):
        assert expected is array is None or same_bits(expected, array)


def test_without_numba_the_run_goes_on_with_one_line(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "kdlib.backends.numba_backend", None)
    monkeypatch.delitem(sys.modules, "kdlib.backends.numba_backend.calls", raising=False)
    context._numba.cache_clear()
    with caplog.at_level(logging.INFO):
        assert used("numba") == used("numba") == "NumpyBackend"
    assert len(caplog.records) == 1


@pytest.mark.parametrize("broken", ["differs", "fails"])
def test_a_broken_numba_is_not_used(calls, monkeypatch, caplog, broken):
    def update(self, rule, constants, arrays, layers=None, flush=None):
        if broken == "fails":
            raise RuntimeError("no compiler")

    monkeypatch.setattr(calls.NumbaBackend, "update", update)
    with caplog.at_level(logging.INFO):
        assert used("numba") == used("numba") == "NumpyBackend"
    assert len(caplog.records) == 1


def test_several_ranks_train_with_numpy(calls):
    assert used("numba", ranks=Ranks(0, 2, None)) == "NumpyBackend"


def test_it_is_loaded_where_it_pays(calls):
    asked = ("auto", 1), ("numpy", 10**9), ("auto", 10**9), ("auto", 1), ("numpy", 1), ("numba", 1)
    found = [used(kernels, steps) for kernels, steps in asked]
    assert found == ["NumpyBackend", "NumpyBackend", "NumbaBackend", "NumbaBackend", "NumpyBackend", "NumbaBackend"]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
@pytest.mark.parametrize("arithmetic", [EXACT, FAST])
def test_batches_made_of_the_data_are_those_that_are_held(numba, monkeypatch, arithmetic, dtype, order):
    random, network = np.random.default_rng(0), Network((6, 4), 3, arithmetic)
    x = random.integers(0, 256, (20, 6)).astype(dtype, order)
    splits = [ScaledRows(x, random.permutation(20)[:12], random.random(6), random.random(6)) for _ in range(3)]
    indices, found = random.integers(0, 12, (3, 5)), []
    for backend, held in ((NUMPY, 1000), (NUMPY, 0), (numba, 0)):
        monkeypatch.setattr(type(backend), "max_held", held)
        dense = Backpropagation(network, 5, backend=backend).dense[0]
        found.append([Inputs(own, network, dense, backend)(indices) for own in (splits, splits[:1])])
    for several, one in found:
        for (values, unit), (expected, expected_unit) in zip((several, one), found[0], strict=True):
            assert same_bits(values, expected)
            assert (unit is None) == (arithmetic is FAST)
            assert unit is None or same_bits(unit, expected_unit)
        assert same_bits(several[0][0], one[0][0])
        assert not same_bits(several[0][1], one[0][1])


def test_splits_of_images_are_read_by_compiled_steps(numba):
    """Each split has a view of its own."""
    x = np.zeros((9, 4), np.uint8)
    network = Network((4, 2), 2, EXACT)
    dense = Backpropagation(network, 5, backend=numba).dense[0]

    def read(*arrays):
        splits = [ScaledRows(array, np.arange(9), np.zeros(4), np.ones(4)) for array in arrays]
        return Inputs(splits, network, dense, numba).scaled_splits() is not None

    assert read(x.reshape(9, 2, 2), x.reshape(9, 2, 2))
    assert not read(x.reshape(9, 2, 2), x.copy().reshape(9, 2, 2))
