"""A student of integers says the same, bit for bit, in NumPy, in ONNX Runtime and in C on three kinds of processor."""

import numpy as np
import pytest

from kdlib.io.errors import UserError
from tests.clients.integer_students import cases, compiled, runners, skip_without, student, trained


@pytest.fixture(scope="module", params=["digits, 8 bits", "digits, 4 bits", "digits, 2 bits", "breast cancer, 8 bits",
                                        "breast cancer, 4 bits", "iris, 8 bits", "MNIST, 8 bits"])  # fmt: skip
def case(request):
    """(DeployedModel, rows, what NumPy says of them)."""
    if request.param not in cases():
        pytest.skip("no MNIST: no mnist.npz in ../shared/data")
    deployed, rows = cases()[request.param]
    return deployed, rows, runners()["NumPy"][0](None, deployed, rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in runners() if name != "NumPy"])
def test_all_rows_have_the_same_integer_logits(case, name, tmp_path):
    run, needs = runners()[name]
    skip_without(*needs)
    deployed, rows, expected = case
    np.testing.assert_array_equal(run(tmp_path, deployed, rows), expected)


def test_the_rows_are_worth_comparing(case):
    """All classes are said, many logits differ, and inputs reach both ends."""
    deployed, rows, expected = case
    with np.errstate(over="ignore"):
        inputs = deployed.network.inputs((rows - deployed.offset) * deployed.scale)
    assert (inputs.min(), inputs.max()) == (0, 255)
    assert set(expected[:, 0]) == set(range(len(deployed.card.classes)))
    assert len(np.unique(expected[:, 1:])) > 500
    sums = np.ldexp(deployed.logits(rows), deployed.network.logit_exponent)
    assert np.abs(sums).max() < 2**30


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["gcc -O3 -march=native, x86-64", "gcc -Os, Cortex-M3 by qemu-system-arm"])
def test_what_is_not_finite_is_refused(name, value, tmp_path):
    deployed, rows = cases()["digits, 8 bits"]
    rows = rows[:12].copy()
    rows[11, 63] = value
    with pytest.raises(UserError, match=r"row 12, pixel_7_7: got (nan|inf|-inf); needs a finite number"):
        deployed.logits(rows)
    run, needs = runners().get(name, (None, [name]))
    skip_without(*needs)
    classes = run(tmp_path, deployed, rows)[:, 0]
    assert (classes[:11] >= 0).all()
    assert classes[11] == -1


def test_the_self_test_sees_one_unit_in_one_logit(tmp_path, monkeypatch):
    from tests.clients import integer_students as module

    skip_without("gcc")
    deployed, rows = cases()["digits, 8 bits"]
    whole = module.c_source(deployed)
    start = whole.index("expected[10]")
    broken = whole[:start] + whole[start:].replace("},\n    };", "0},\n    };", 1)  # the last logit, times ten
    assert broken != whole
    monkeypatch.setattr(module, "c_source", lambda *_: broken)
    with pytest.raises(AssertionError, match=r"program'.: 1"):
        compiled(tmp_path, deployed, rows, ["gcc"])


def test_hostile_class_names_stay_texts(tmp_path):
    """They end no comment, literal or placeholder."""
    skip_without("gcc")
    dataset, network = trained("iris", (4,), 1)
    dataset.class_names = ['a"\\0?/', "*/ @ROWS@", "ж %s"]
    deployed = student(dataset, network, 8)
    deployed.card.recipe["prepare.transfer_classes"] = ["*/ x", "/* @ROWS@", "??/"]
    run, _ = runners()["gcc -O0, x86-64"]
    rows = dataset.x.astype(np.float64)
    assert np.array_equal(run(tmp_path, deployed, rows), runners()["NumPy"][0](None, deployed, rows))
