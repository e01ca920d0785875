"""The transfer set: rows of one's own and synthetic ones, of which only the teacher speaks."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdlib.data.dataset import ABSENT, UNLABELED, Dataset
from kdlib.data.encoding import Encoding
from kdlib.io.artifacts import read_npz
from kdlib.io.errors import UserError
from kdlib.learning.model_file import load_model
from kdlib.pipeline.command_line import PATHS
from kdlib.pipeline.jobs import labeled_only, transfer_sets
from kdlib.pipeline.schema import recipe_of
from kdlib.preparation.synthesis import SYNTHESES, mixup, munge, nearest_rows
from kdlib.preparation.transfer import with_transfer_rows
from tests.conftest import MAINS, quick_params


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.makedirs("data/raw")


def prepared(transfer=None, **prepare):
    MAINS["prepare"](quick_params(prepare={"splits": 2, "transfer": transfer} | prepare))
    return Dataset.load(PATHS.dataset)


def tables():
    """x of n rows with a number, a whole number, 0 or 1, and a category of three with one feature each."""
    numbers = st.tuples(st.floats(-5, 5), st.integers(-9, 9), st.integers(0, 1), st.integers(0, 2))
    return st.lists(numbers, min_size=2, max_size=30).map(
        lambda rows: np.array([[a, b, c, *np.eye(3)[d]] for a, b, c, d in rows])
    )


WIDTHS = [1, 1, 1, 3]


class TestSynthesis:
    @settings(max_examples=60, deadline=None)
    @given(tables(), st.sampled_from(list(SYNTHESES.values())), st.integers(1, 3), st.integers(0, 99))
    def test_rows_are_like_those_that_they_are_made_of(self, x, synthesis, times, seed):
        made = synthesis(x, x, WIDTHS, times, np.random.default_rng(seed))
        assert made.shape == (times * len(x), 6)
        assert (made >= x.min(axis=0) - 1e-9).all()
        assert (made <= x.max(axis=0) + 1e-9).all()
        assert np.array_equal(made[:, 1:], np.rint(made[:, 1:]))
        assert {tuple(row) for row in made[:, 3:]} <= {tuple(row) for row in x[:, 3:]}

    def test_mixup_is_between_its_row_and_another(self):
        x = np.random.default_rng(0).normal(size=(50, 4))
        made = mixup(x, x, [1] * 4, 2, np.random.default_rng(1))
        for k, row in enumerate(made):
            shares = (row - x[k % 50]) / (x - x[k % 50] + 1e-300)
            between = (np.ptp(shares, axis=1) < 1e-9) & (shares[:, 0] >= 0) & (shares[:, 0] <= 1)
            assert between.any()

    def test_munge_takes_half_of_the_columns_from_around_the_neighbour(self):
        rng = np.random.default_rng(0)
        x = np.concatenate([rng.normal(size=(400, 4)), np.eye(3)[rng.integers(0, 3, 400)]], axis=1)
        made, other = munge(x, x, [1, 1, 1, 1, 3], 20, np.random.default_rng(1)), x[nearest_rows(x)]
        own, others = np.tile(x, (20, 1)), np.tile(other, (20, 1))
        taken = made[:, :4] != own[:, :4]
        assert abs(taken.mean() - 0.5) < 0.01
        inside = taken & (np.abs(made[:, :4]) < 2)  # clipped to the range beyond
        z = ((made - others) / (own - others + 1e-300))[:, :4][inside]
        assert abs(np.median(z)) < 0.03
        assert abs((np.abs(z) < 1).mean() - 0.683) < 0.02
        swapped = (made[:, 4:] == others[:, 4:]).all(axis=1)
        kept = (made[:, 4:] == own[:, 4:]).all(axis=1)
        assert (swapped | kept).all()

    @settings(max_examples=30, deadline=None)
    @given(st.integers(2, 60), st.integers(0, 99))
    def test_nearest_is_the_nearest_other_row(self, n, seed):
        x = np.random.default_rng(seed).normal(size=(n, 3))
        distance = ((x[:, None] - x[None]) ** 2).sum(axis=-1)
        np.fill_diagonal(distance, np.inf)
        found = distance[np.arange(n), nearest_rows(x)]
        assert found == pytest.approx(distance.min(axis=1), abs=1e-4)

    def test_of_many_rows_the_neighbour_is_among_some(self):
        x = np.arange(10_000.0)[:, None]
        found = nearest_rows(x)
        assert len(np.unique(found)) <= 4096
        assert (found != np.arange(10_000)).all()
        assert np.abs(found - np.arange(10_000)).max() <= 3


class TestDataset:
    @pytest.mark.parametrize("synthesis", SYNTHESES)
    def test_a_split_has_rows_of_its_own_behind_all_others(self, synthesis):
        plain, dataset = prepared(), prepared({"synthesis": synthesis, "times": 3})
        n, train = len(plain.y), len(plain.rows("train"))
        assert len(dataset.y) == n + 2 * 3 * train
        for name in ("x", "y"):
            assert np.array_equal(getattr(dataset, name)[:n], getattr(plain, name))
        assert np.array_equal(dataset.assignment[:, :n], plain.assignment)
        assert np.array_equal(dataset.offset, plain.offset)
        assert (dataset.y[n:] == -1).all()
        codes = dataset.assignment[:, n:].reshape(2, 2, 3 * train)
        assert (codes == np.where(np.eye(2, dtype=bool), UNLABELED, ABSENT)[:, :, None]).all()
        for split in range(2):
            assert len(dataset.rows("train", split)) == 4 * train
            assert np.array_equal(dataset.labeled(split), plain.labeled(split))
            assert (dataset.one_hot(np.arange(n, len(dataset.y)), split) == 0).all()
            for part in ("validation", "test"):
                assert np.array_equal(dataset.rows(part, split), plain.rows(part, split))

    @pytest.mark.parametrize("synthesis", SYNTHESES)
    def test_no_row_that_a_split_holds_out_enters(self, synthesis):
        plain = prepared(labeled_fraction=0.5)
        before = with_transfer_rows(plain, None, synthesis, 2, 0)
        assert before.digest == ""  # not that of the rows without them
        for split in range(2):
            held_out = np.isin(plain.assignment[split], (1, 2))
            other = Dataset(**{**vars(plain), "x": np.where(held_out[:, None], 1e6, plain.x)})
            after, own = with_transfer_rows(other, None, synthesis, 2, 0), before.assignment[split] == UNLABELED
            assert np.array_equal(before.x[own], after.x[own])

    def test_draws_follow_from_seed_and_split(self):
        made = [with_transfer_rows(prepared(), None, "mixup", 1, seed).x for seed in (0, 0, 1)]
        assert np.array_equal(made[0], made[1])
        assert not np.array_equal(made[0], made[2])

    def test_images_stay_whole_numbers(self):
        dataset = prepared({"synthesis": "mixup", "times": 1}, dataset="digits", splits=1)
        assert dataset.x.dtype == np.uint8
        assert dataset.x.max() == 16
        with pytest.raises(UserError, match="munge is for tables"):
            prepared({"synthesis": "munge"}, dataset="digits")

    def test_rows_of_ones_own(self):
        plain = prepared()
        own = plain.x[:7] + 0.5
        np.savez("data/raw/more.npz", x_unlabeled=own)
        dataset = prepared({"rows": "data/raw/more.npz", "synthesis": "mixup", "times": 1})
        n = len(plain.y)
        assert np.array_equal(dataset.x[n : n + 7], own)
        assert (dataset.assignment[:, n : n + 7] == UNLABELED).all()
        assert (dataset.assignment[:, n + 7 :] != plain.assignment[:, :1]).all()

    def test_a_row_of_ones_own_is_absent_where_an_equal_one_is_held_out(self, caplog):
        caplog.set_level("INFO")
        plain = prepared(splits=3, labeled_fraction=0.5)
        own = np.concatenate([plain.x[:40] + 100, plain.x])
        np.savez("data/raw/more.npz", x_unlabeled=own)
        dataset = prepared({"rows": "data/raw/more.npz"}, splits=3, labeled_fraction=0.5)
        n, trained = len(plain.y), np.isin(plain.assignment, [0, UNLABELED])
        assert (dataset.assignment[:, n : n + 40] == UNLABELED).all()
        assert np.array_equal(dataset.assignment[:, n + 40 :], np.where(trained, UNLABELED, ABSENT))
        assert f"{n} of the {n + 40} rows without a label are equal to rows with one" in caplog.text

    def test_a_second_table_is_encoded_as_the_first(self):
        lines = [f"{k},{'lime' if k % 3 else 'pear'},{'ab'[k % 2]}" for k in range(60)]
        Path("data/raw/table.csv").write_text("\n".join(["size,fruit,class", *lines]), "utf-8")
        Path("data/raw/more.csv").write_text("fruit,size,note\npear,3.5,x\nkiwi,,y\n", "utf-8")
        source = {"dataset": "data/raw/table.csv", "target": "class"}
        dataset = prepared({"rows": "data/raw/more.csv"}, **source)
        names = Encoding.from_json(dataset.encoding).feature_names
        assert names == ["size", "fruit=lime", "fruit=pear"]
        assert dataset.x[60:].tolist() == [[3.5, 0, 1], [29, 0, 0]]

    @pytest.mark.parametrize(
        ("arrays", "words"),
        [
            ({"x": np.ones((3, 4))}, "lacks x_unlabeled"),
            ({"x_unlabeled": np.ones((3, 5))}, r"float64 \(3, 5\); needs rows of \(4,\)"),
            ({"x_unlabeled": np.full((3, 4), np.nan)}, "NaN"),
            ({"x_unlabeled": np.full((3, 4), "a")}, "needs rows"),
        ],
    )
    def test_rows_that_do_not_fit_are_refused(self, arrays, words):
        np.savez("data/raw/more.npz", **arrays)
        with pytest.raises(UserError, match=words):
            prepared({"rows": "data/raw/more.npz"})

    def test_what_is_not_there_is_named(self):
        with pytest.raises(UserError, match=r"none.npz: not found"):
            prepared({"rows": "data/raw/none.npz"})
        with pytest.raises(UserError, match="the dataset is no table"):
            prepared({"rows": "data/raw/none.csv"})


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        ({"transfer": {"times": 3}}, "needs rows"),
        ({"transfer": {"rows": "data/raw/more.json"}}, "needs rows"),
        ({"transfer": {"rows": "more.npz"}}, "copy it to data/raw/more"),
        ({"transfer": {"synthesis": "smote"}}, "mixup"),
        ({"transfer": {"synthesis": "mixup"}, "transfer_classes": ["setosa"]}, "transfer: null"),
    ],
)
def test_what_transfer_may_be(prepare, words):
    with pytest.raises(ValueError, match=words):
        quick_params(prepare=prepare)


FOREST = {"model": "RandomForestClassifier", "options": {"n_estimators": 9}}


@pytest.mark.parametrize("teacher", [{}, FOREST], ids=["network", "forest"])
def test_every_teacher_labels_them_and_only_the_student_hears_of_them(teacher):
    models = {}
    for transfer in (None, {"synthesis": "munge", "times": 2}):
        params = quick_params(teacher=teacher, prepare={"splits": 2, "transfer": transfer})
        for main in MAINS.values():
            main(params)
        models[transfer is None] = [read_npz(path) for path in (PATHS.teacher, PATHS.baseline, PATHS.student)]
    (teacher, baseline, student), (plain, control, other) = models[False], models[True]
    dataset, n = Dataset.load(PATHS.dataset), plain["logits"].shape[1]
    assert np.array_equal(teacher["logits"][:, :n], plain["logits"])
    for split in range(2):
        own = dataset.assignment[split] == UNLABELED
        assert teacher["logits"][split, own].any(axis=1).all()
        assert not teacher["logits"][split, dataset.assignment[split] == ABSENT].any()
    assert np.array_equal(baseline["weights_0"].shape, control["weights_0"].shape)
    assert baseline["training_loss"].shape[1] == 9  # of 3 epochs: as many steps as the student's
    assert student["training_loss"].shape == other["training_loss"].shape
    assert not np.array_equal(student["weights_0"], other["weights_0"])
    assert json.loads(Path("metrics/details.json").read_text("utf-8"))["train_examples"] == 120


def test_the_control_takes_the_students_steps_without_other_epochs():
    params = quick_params(
        prepare={"splits": 2, "transfer": {"synthesis": "munge", "times": 8}},
        student={"epochs": 5, "batch_size": 30, "patience": 2},
    )
    MAINS["prepare"](params)
    dataset = Dataset.load(PATHS.dataset)
    rows = transfer_sets(params, dataset)
    recipe = recipe_of(params, "student", dataset.image_shape)
    labeled, recipes = labeled_only(dataset, rows, recipe)
    assert recipe.epochs == 5
    for of_student, of_control, control in zip(rows, labeled, recipes, strict=True):
        assert len(of_student) == 9 * len(of_control)
        assert control.epochs * control.steps(len(of_control)) == 5 * recipe.steps(len(of_student))
        assert control.patience == 9 * 2


def test_without_alpha_the_teacher_still_speaks_where_there_is_no_label():
    """alpha = 0 elsewhere: other logits of the synthetic rows make another student, of the labelled ones the same."""
    params = quick_params(prepare={"transfer": {"synthesis": "mixup", "times": 1}}, distill={"alpha": 0.0})
    for stage in ("prepare", "train_teacher", "distill"):
        MAINS[stage](params)
    dataset, found = Dataset.load(PATHS.dataset), []
    model, weights = load_model(PATHS.teacher, dataset), read_npz(PATHS.student)["weights_0"]
    for rows in (dataset.labeled(), np.flatnonzero(dataset.assignment[0] == UNLABELED)):
        arrays = read_npz(PATHS.teacher)
        arrays["logits"][0, rows] = -model.logits[0, rows]
        np.savez(PATHS.teacher, **arrays)
        MAINS["distill"](params)
        found.append(np.array_equal(read_npz(PATHS.student)["weights_0"], weights))
        MAINS["train_teacher"](params)
    assert found == [True, False]
