"""Own data: archives and tables, what they have to hold, and a given test set."""

import numpy as np
import pytest

from kdlib.artifacts import write_npz
from kdlib.data.dataset import PARTS, Dataset
from kdlib.errors import UserError
from kdlib.preparation import sources
from kdlib.preparation.assembly import prepare

RANDOM = np.random.default_rng(0)
OPTIONS = {
    "splits": 1,
    "train_ratio": 0.6,
    "val_ratio": 0.2,
    "max_samples": None,
    "scaling": "minmax",
    "labeled_fraction": 1.0,
}
IMAGES = RANDOM.integers(0, 256, (90, 4, 3)).astype(np.uint8)
LABELS = np.tile([3, 5, 9], 30).astype(np.uint8)


@pytest.fixture
def archive(tmp_path):
    def write(**arrays):
        write_npz(tmp_path / "own.npz", arrays)
        return str(tmp_path / "own.npz")

    return write


@pytest.fixture
def table(tmp_path):
    def write(text):
        (tmp_path / "own.csv").write_text(text, encoding="utf-8")
        return str(tmp_path / "own.csv")

    return write


def test_images_stay_bytes(archive, tmp_path):
    examples = sources.load(archive(x=IMAGES, y=LABELS), None)
    assert examples.image_shape == (4, 3)
    assert examples.class_names == ["3", "5", "9"]
    assert examples.y[:3].tolist() == [0, 1, 2]
    dataset = prepare(examples, 0, **OPTIONS)
    dataset.save(tmp_path / "dataset.npz")
    again = Dataset.load(tmp_path / "dataset.npz")
    assert again.x.dtype == np.uint8
    assert again.image_shape == (4, 3)
    assert again.inputs(again.rows("train")).max() <= 1


def test_a_given_test_set_stays_the_test_split(archive):
    path = archive(x_train=IMAGES[:60], y_train=LABELS[:60], x_test=IMAGES[60:], y_test=LABELS[60:])
    dataset = prepare(sources.load(path, None), 0, **OPTIONS)
    assert np.array_equal(dataset.x[dataset.rows("test")], IMAGES[60:].reshape(30, 12))
    assert [len(dataset.rows(part)) for part in PARTS] == [45, 15, 30]


def test_max_samples_draws_from_both_parts(archive):
    path = archive(x_train=IMAGES[:60], y_train=LABELS[:60], x_test=IMAGES[60:], y_test=LABELS[60:])
    dataset = prepare(sources.load(path, None), 0, **OPTIONS | {"max_samples": 45})
    assert [len(dataset.rows(part)) for part in PARTS] == [22, 8, 15]
    assert np.bincount(dataset.y[dataset.rows("test")]).tolist() == [5, 5, 5]


def test_a_table_with_a_target(table):
    rows = "\n".join(f"{k},{'ham' if k % 2 else 'spam'},{k / 2}" for k in range(20))
    examples = sources.load(table(f"size,kind,weight\n{rows}\n"), "kind")
    assert examples.feature_names == ["size", "weight"]
    assert examples.class_names == ["ham", "spam"]
    assert examples.x[3].tolist() == [3.0, 1.5]
    assert examples.y[:4].tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("text", "target", "message"),
    [
        ("a,b\n1,2\n", "c", "prepare.target: got 'c'; the columns of"),
        ("a,b\n1,x\n2\n", "b", "row 3 has 1 cells, the header 2"),
        ("a,b\n1,x\none,y\n", "b", "all columns but b must be numbers"),
        ("a,b\n1,x\nnan,y\n", "b", "x has NaN or infinite values"),
        ("a,b\n1,x\n2,x\n", "b", "1 classes and 1 features"),
        ("", "b", "not a CSV table with a header"),
    ],
)
def test_a_table_that_does_not_fit_is_told(table, text, target, message):
    with pytest.raises(UserError, match=message):
        sources.load(table(text), target)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": IMAGES}, "holds images; needs x and y"),
        ({"x_train": IMAGES, "y_train": LABELS}, "needs x and y, or x_train, y_train, x_test, y_test"),
        ({"x": IMAGES, "y": LABELS[:-1]}, "needs numbers x"),
        ({"x": IMAGES[None], "y": LABELS[:1]}, "needs numbers x"),
        ({"x": LABELS.astype(str)[:, None], "y": LABELS}, "needs numbers x"),
        ({"x": np.full((90, 2), np.inf), "y": LABELS}, "NaN or infinite"),
    ],
)
def test_an_archive_that_does_not_fit_is_told(archive, arrays, message):
    with pytest.raises(UserError, match=message):
        sources.load(archive(**arrays), None)


def test_a_name_that_is_no_dataset_is_told():
    with pytest.raises(UserError, match=r"prepare\.dataset: got 'mnist'; allowed are breast_cancer, digits"):
        sources.load("mnist", None)


@pytest.mark.parametrize("name", ["own.npz", "own.csv"])
def test_a_missing_file_is_told(tmp_path, name):
    with pytest.raises(UserError, match="not found"):
        sources.load(str(tmp_path / name), "b")
