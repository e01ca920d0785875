"""Own data: archives and tables, what they have to hold, and a given test set."""

import numpy as np
import pytest

from kdlib.data.dataset import SUBSETS, Dataset
from kdlib.io.artifacts import write_npz
from kdlib.io.errors import UserError
from kdlib.preparation import array_files, sources
from kdlib.preparation.build import build_dataset

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
    examples = sources.load_examples(archive(x=IMAGES, y=LABELS), None)
    assert examples.image_shape == (4, 3)
    assert examples.class_names == ["3", "5", "9"]
    assert examples.y[:3].tolist() == [0, 1, 2]
    dataset = build_dataset(examples, 0, **OPTIONS)
    dataset.save(tmp_path / "dataset.npz")
    again = Dataset.load(tmp_path / "dataset.npz")
    assert again.x.dtype == np.uint8
    assert again.image_shape == (4, 3)
    assert again.inputs(again.rows("train")).max() <= 1


def test_a_given_test_set_stays_the_test_split(archive):
    path = archive(x_train=IMAGES[:60], y_train=LABELS[:60], x_test=IMAGES[60:], y_test=LABELS[60:])
    dataset = build_dataset(sources.load_examples(path, None), 0, **OPTIONS)
    assert np.array_equal(dataset.x[dataset.rows("test")], IMAGES[60:].reshape(30, 12))
    assert [len(dataset.rows(part)) for part in SUBSETS] == [45, 15, 30]


def test_max_samples_draws_from_both_parts(archive):
    path = archive(x_train=IMAGES[:60], y_train=LABELS[:60], x_test=IMAGES[60:], y_test=LABELS[60:])
    dataset = build_dataset(sources.load_examples(path, None), 0, **OPTIONS | {"max_samples": 45})
    assert [len(dataset.rows(part)) for part in SUBSETS] == [22, 8, 15]
    assert np.bincount(dataset.y[dataset.rows("test")]).tolist() == [5, 5, 5]


def test_one_class_is_told(table):
    with pytest.raises(UserError, match="all examples are of one class, x; at least 2 are needed"):
        sources.load_examples(table("a,b\n1,x\n2,x\n"), "b")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": IMAGES}, "holds images; needs x and y"),
        ({"x_train": IMAGES, "y_train": LABELS}, "needs x and y, or x_train, y_train, x_test, y_test"),
        ({"x": IMAGES, "y": LABELS[:-1]}, "needs numbers x"),
        ({"x": IMAGES[None], "y": LABELS[:1]}, "needs numbers x"),
        ({"x": LABELS.astype(str)[:, None], "y": LABELS}, "needs numbers x"),
        ({"x": np.full((90, 2), np.inf), "y": LABELS}, "NaN or infinite"),
        ({"x": np.zeros((0, 5)), "y": LABELS[:0]}, r"x float64 \(0, 5\).*needs numbers x"),
        ({"x": np.zeros((90, 0)), "y": LABELS}, r"x float64 \(90, 0\).*needs numbers x"),
        ({"x": IMAGES, "y": np.zeros(90, dtype=[("a", "i4")])}, "an array is of .*, not of numbers or texts"),
        ({"x": IMAGES, "y": LABELS + 1j}, "y is complex128; classes are numbers or texts"),
        ({"x": IMAGES, "y": np.where(LABELS > 3, LABELS, np.nan)}, "y has NaN or infinite"),
        ({"x": IMAGES, "y": np.where(LABELS == 3, b"\xff", b"b")}, "bytes that are no ASCII"),
        (
            {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES, "y_test": LABELS.astype(str)},
            "both must be numbers",
        ),
    ],
)
def test_an_archive_that_does_not_fit_is_told(archive, arrays, message):
    with pytest.raises(UserError, match=message):
        sources.load_examples(archive(**arrays), None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("\ud800", r"'\\ud800'"),
        ("a\nb", r"'a\\nb' has the character '\\n'"),
        ("\x1b[31mred", r"has the character '\\x1b'"),
        ("a\uffff", r"'\\uffff'"),
        ("</script><script>alert(1)</script>", "has markup in it"),
        ("<!--", "has markup in it"),
        ("", "an empty name"),
        ("a" * 201, "a name of 201 characters"),
    ],
)
def test_a_class_whose_name_harms_a_file_is_told(archive, name, message):
    with pytest.raises(UserError, match=message) as told:
        sources.load_examples(archive(x=IMAGES, y=np.where(LABELS == 3, name, "b")), None)
    assert str(told.value).isascii()
    assert len(str(told.value)) < 300


@pytest.mark.parametrize("names", [["<=50K", ">50K"], ["-", "+"], ["-1", "+1"], ["été", "冬"], ["a" * 200, "b c"],
                                   ["- 50000.", "50000+."], ["=1+1", "@SUM(A1)"], ["+cmd", "b"]])  # fmt: skip
def test_other_names_are_taken(archive, names):
    path = archive(x=IMAGES, y=np.array(names)[np.arange(90) % 2])
    assert sources.load_examples(path, None).class_names == sorted(names)


def test_bytes_are_names_too(archive):
    assert sources.load_examples(archive(x=IMAGES, y=np.where(LABELS == 3, b"p", b"q")), None).class_names == ["p", "q"]


def test_one_array_of_images_is_not_copied(archive, monkeypatch):
    """60,000 images of 784 pixels are 47 MB, and 376 as float64."""
    monkeypatch.setattr(array_files, "read_npz", lambda path, from_user: {"x": IMAGES, "y": LABELS})
    assert np.shares_memory(sources.load_examples(archive(x=IMAGES, y=LABELS), None).x, IMAGES)


def test_a_name_that_is_no_dataset_is_told():
    with pytest.raises(UserError, match=r"prepare\.dataset: got 'mnist'; allowed are breast_cancer, digits"):
        sources.load_examples("mnist", None)


@pytest.mark.parametrize("name", ["own.npz", "own.csv", "own.parquet"])
def test_a_missing_file_is_told(tmp_path, name):
    with pytest.raises(UserError, match="not found"):
        sources.load_examples(str(tmp_path / name), "b")


def test_arrays_that_are_not_read_are_named(archive, caplog):
    arrays = {
        f"{kind}_{part}": values for part in ("train", "val", "test") for kind, values in (("x", IMAGES), ("y", LABELS))
    }
    sources.load_examples(archive(**arrays, x_unlabeled=IMAGES), None)
    (line,) = [record.getMessage() for record in caplog.records]
    assert "x_val, y_val: not read; validation rows are drawn by prepare.val_ratio" in line
    assert "belongs into x_train and y_train" in line


@pytest.mark.parametrize(
    ("y", "reason"),
    [
        (LABELS.astype(str).astype(object), "y: an array has objects"),
        (LABELS.astype(np.longdouble), "y: an array is of"),
        (LABELS.astype(np.clongdouble), "y: an array is of"),
    ],
)
def test_ones_own_archive_gets_advice_for_ones_own_code(tmp_path, y, reason):
    np.savez(tmp_path / "own.npz", x=IMAGES, y=y)
    with pytest.raises(UserError) as told:
        sources.load_examples(str(tmp_path / "own.npz"), None)
    assert reason in str(told.value)
    assert str(told.value).endswith("; write it again of numbers of at most 64 bits, and of texts as y.astype(str)")
