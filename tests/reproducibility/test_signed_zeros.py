"""No byte depends on the sign of a zero: which of two a minimum, a sort or a BLAS returns differs between machines."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kdlib.backends.arithmetic import EXACT
from kdlib.evaluation import metrics
from kdlib.io.artifacts import array_digest, read_npz, write_npz
from kdlib.learning.losses import LOSSES
from kdlib.learning.network import Network
from kdlib.learning.objectives import CrossEntropy, Distillation
from kdlib.numerics import exact
from kdlib.preparation import sources
from kdlib.preparation.build import build_dataset
from tests.conftest import MAINS, files, quick_params

some = settings(deadline=None, max_examples=60)
NUMBERS = st.sampled_from([0.0, -0.0, 0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324])
LABELS = np.arange(30) % 3


def zeros(shape):
    """Arrays full of zeros of both signs."""
    return hnp.arrays(np.float64, shape, elements=NUMBERS)


def positive(array):
    return np.where(array == 0, 0.0, array)


def bits(*arrays):
    return b"".join(np.asarray(array).tobytes() for array in arrays)


def has_negative_zero(array):
    return array.dtype.kind == "f" and bool((np.signbit(array) & (array == 0)).any())


@some
@given(x=zeros((30, 3)), scaling=st.sampled_from(["minmax", "standard", "none"]), image=st.booleans())
def test_a_dataset(tmp_path_factory, x, scaling, image):
    def made(x):
        shape = (2, 2) if image else ()
        x = np.concatenate([x, np.arange(30.0)[:, None]], axis=1)  # no two rows are equal
        examples = sources.Examples(x, LABELS, list("abc"), list("wxyz"), shape)
        return build_dataset(examples, 0, 2, 0.6, 0.2, None, scaling, 1.0)

    dataset, plain = made(x), made(positive(x))
    assert dataset.digest == plain.digest
    inputs = [[d.inputs(np.arange(30), split) for split in range(2)] for d in (dataset, plain)]
    assert bits(*inputs[0]) == bits(*inputs[1])
    path = tmp_path_factory.getbasetemp() / "zeros.npz"
    dataset.save(path)
    written = path.read_bytes()
    plain.save(path)
    assert written == path.read_bytes()
    assert [name for name, array in read_npz(path).items() if has_negative_zero(array)] == []


@some
@given(array=st.one_of(*(hnp.arrays(dtype, (2, 3), elements=st.sampled_from([0.0, -0.0, 1.0])) for dtype in "efd")))
def test_an_archive(tmp_path_factory, array):
    path, plain = tmp_path_factory.getbasetemp() / "a.npz", positive(array).astype(array.dtype)
    write_npz(path, {"a": array, "b": array[0, 0]})
    written = path.read_bytes()
    write_npz(path, {"a": plain, "b": plain[0, 0]})
    assert written == path.read_bytes()
    assert array_digest({"a": array}) == array_digest({"a": plain})
    np.savez(path, a=array)
    assert bits(read_npz(path)["a"]) == bits(plain)


def test_classes_named_by_a_zero(tmp_path):
    y = np.array([0.0, -0.0, 1.0] * 9)
    for labels in (y, y[::-1], -y):
        np.savez(tmp_path / "own.npz", x=np.ones((27, 2)), y=labels)
        names = sources.load_examples(str(tmp_path / "own.npz"), None).class_names
        assert "-0.0" not in names
        assert len(names) == 2


def test_cells_of_a_table(tmp_path):
    (tmp_path / "own.csv").write_text("a,b,y\n-0.0,0,p\n-0,-0e5,q\n0.0,-1e-999,q\n", "utf-8")
    assert not np.signbit(sources.load_examples(str(tmp_path / "own.csv"), "y").x).any()


ONE_HOT = np.eye(3)[LABELS[:6]]
OBJECTIVES = {
    "ce": lambda teacher: CrossEntropy(ONE_HOT, EXACT),
    **{
        f"{loss}{', standardized' * standardize}": lambda teacher, loss=loss, standardize=standardize: Distillation(
            ONE_HOT, teacher, EXACT, loss=loss, temperature=2.0, alpha=0.5, standardize_logits=standardize
        )
        for loss in LOSSES
        for standardize in (False, True)
    },
}


@pytest.mark.parametrize("name", OBJECTIVES)
@some
@given(student=zeros((2, 6, 3)), teacher=zeros((6, 3)))
def test_a_loss(name, student, teacher):
    results = []
    for logits, of_teacher in ((student, teacher), (positive(student), positive(teacher))):
        objective = OBJECTIVES[name](of_teacher)
        arguments = logits.copy(), *objective.targets
        results.append((positive(objective.value(*arguments)), positive(objective.gradient(*arguments))))
    assert bits(*results[0]) == bits(*results[1])


@some
@given(logits=zeros((2, 30, 3)))
def test_a_measure(logits):
    def measured(logits):
        values = [metric.function(logits, LABELS) for metric in metrics.METRICS.values()]
        values += [measure(logits, logits[0]) for measure in metrics.FIDELITY.values()]
        values += [metrics.predictions(logits), *metrics.reliability(logits, LABELS)]
        return [*values, positive(metrics.bias_shift(logits, LABELS, np.array([True, False, False])))]

    assert bits(*measured(logits)) == bits(*measured(positive(logits)))


def test_a_product_of_a_blas_that_returns_negative_zeros(monkeypatch):
    """As ATLAS does where all terms are -0."""
    matmul = np.matmul

    def negative(a, b, out=None):
        result = matmul(a, b, out=out)
        result[result == 0] = -0.0
        return result

    a, b = np.eye(3)[None], np.diag([-1.0, 1.0, 0.0])[None]
    network = Network((3, 3, 3), 1, EXACT)
    network.parameters[:] = -0.0
    plain = exact.matmul(a, b), network.logits(a)
    monkeypatch.setattr(np, "matmul", negative)
    assert bits(exact.matmul(a, b), network.logits(a)) == bits(*plain)


@pytest.mark.parametrize("scaling", ["minmax", "standard", "none"])
def test_all_that_the_stages_write(tmp_path, monkeypatch, scaling):
    random = np.random.default_rng(0)
    x = random.integers(0, 2, (90, 4)) * random.random((90, 4)) + np.eye(4)[np.arange(90) % 3]
    y = np.arange(90) % 3 - 1.0
    written = []
    for sign in (0.0, -0.0, np.copysign(0.0, random.random((90, 4)) - 0.5)):
        folder = tmp_path / str(len(written))
        (folder / "data/raw").mkdir(parents=True)
        monkeypatch.chdir(folder)
        labels = np.where(y == 0, np.broadcast_to(sign, (90, 4))[:, 0], y)
        np.savez("data/raw/own.npz", x=np.where(x == 0, sign, x), y=labels)
        params = quick_params(prepare={"dataset": "data/raw/own.npz", "scaling": scaling})
        for main in MAINS.values():
            main(params)
        written.append({path: content for path, content in files(folder).items() if "raw" not in path})
    assert written[0] == written[1] == written[2]
