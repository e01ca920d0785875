"""Numbered views: what they show, of which rows, and that they are functions of seed, row and number."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kdlib.data.dataset import Dataset
from kdlib.data.scaled import CHUNK_ROWS
from kdlib.io.artifacts import read_npz
from kdlib.io.errors import UserError
from kdlib.learning.augmentation import SPLINE_CELLS, UNITS_PER_ENTRY, UNITS_PER_WEIGHT, Views, _spline, with_views
from kdlib.learning.epoch import draw_orders
from kdlib.learning.model_file import ensemble_logits, load_model, split_logits
from kdlib.learning.stack import network_slices
from kdlib.learning.warping import UNITS_PER_PIXEL, warp_bilinear
from kdlib.numerics.streams import stream
from kdlib.pipeline.command_line import PATHS
from stages import distill, prepare, train_baseline, train_teacher
from tests.conftest import quick_params

SHAPE = (7, 9)
KINDS = {
    "shift": Views(shift=2),
    "affine": Views(number=5, affine=0.3),
    "elastic": Views(number=4, elastic=2.5),
    "all": Views(shift=1, number=6, affine=0.2, elastic=1.0),
}


def example(dtype=np.uint8, n=12):
    """A dataset of images of three classes in two splits: rows 0 to 3 are held out in both, 4 in the first."""
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (n, SHAPE[0] * SHAPE[1])).astype(dtype)
    assignment = np.zeros((2, n), np.uint8)
    assignment[:, :2], assignment[:, 2:4], assignment[0, 4], assignment[1, 5] = 1, 2, 2, 3
    zeros, ones = (np.full((2, x.shape[1]), value) for value in (0.0, 1 / 255))
    names = [f"p{k}" for k in range(x.shape[1])]
    dataset = Dataset(x, np.arange(n) % 3, assignment, zeros, ones, ["a", "b", "c"], names, SHAPE)
    dataset.validate()
    return dataset


def moved(image, down, across):
    """By a loop over the pixels."""
    result = np.zeros(SHAPE, image.dtype)
    for row, column in np.ndindex(SHAPE):
        if 0 <= row + down < SHAPE[0] and 0 <= column + across < SHAPE[1]:
            result[row, column] = image.reshape(SHAPE)[row + down, column + across]
    return result.ravel()


def test_shifts_alone_are_all_moves_of_whole_pixels_the_image_first():
    dataset = example()
    shown = with_views(dataset, KINDS["shift"], 0)
    rows = dataset.rows("train")
    views = shown.x[shown.rows("train")].reshape(25, len(rows), -1)
    assert np.array_equal(views[0], dataset.x[rows])
    for k, row in enumerate(rows):
        expected = {moved(dataset.x[row], y, x).tobytes() for y in range(-2, 3) for x in range(-2, 3)}
        assert {view[k].tobytes() for view in views} == expected
        assert len(expected) == 25


@pytest.mark.parametrize("views", KINDS.values(), ids=KINDS)
def test_only_training_rows_have_views_with_their_labels_and_one_view_is_behind_the_other(views):
    dataset = example()
    shown = with_views(dataset, views, 3)
    for split in range(2):
        rows = dataset.rows("train", split)
        of = shown.rows("train", split).reshape(len(views), len(rows))
        assert np.array_equal(of[0], rows)
        assert (shown.labels(of, split) == dataset.labels(rows, split)).all()
        for part in ("validation", "test"):
            assert np.array_equal(shown.rows(part, split), dataset.rows(part, split))
    # A row that both splits train on is the same view in both.
    assert len(shown.y) == 12 + (len(views) - 1) * 8
    for arrays in (shown.x, shown.y, shown.assignment[0]):
        assert len(arrays) == len(shown.y)


@pytest.mark.parametrize("views", KINDS.values(), ids=KINDS)
def test_a_whole_block_of_rows_may_be_held_out(views):
    dataset = example(n=CHUNK_ROWS + 12)
    assert dataset.rows("train")[-1] >= CHUNK_ROWS
    dataset.assignment[:, :CHUNK_ROWS] = 2
    shown = with_views(dataset, views, 0)
    assert len(shown.rows("train")) == 12 * len(views)
    assert np.array_equal(shown.x[: len(dataset.x)], dataset.x)


@pytest.mark.parametrize("name", ["affine", "elastic", "all"])
def test_a_view_depends_on_seed_row_and_number_alone(name):
    dataset, views = example(), KINDS[name]
    shown = with_views(dataset, views, 0)
    rows = shown.rows("train").reshape(len(views), -1)
    more = with_views(dataset, replace(views, number=views.number + 3), 0)
    assert np.array_equal(more.x[more.rows("train")[: rows.size]], shown.x[rows.ravel()])
    # The same row, where fewer others are trained on.
    few = replace(dataset, assignment=np.where(np.arange(12) % 2 > 0, dataset.assignment, 2).astype(np.uint8))
    few = with_views(few, views, 0)
    of_few = few.rows("train").reshape(len(views), -1)
    assert np.array_equal(few.x[of_few], shown.x[rows[:, np.isin(rows[0], of_few[0])]])
    other = with_views(dataset, views, 1)
    same = (other.x[rows] == shown.x[rows]).all(axis=-1)
    assert same[0].all()
    assert not same[1:].any()
    distinct = {x.tobytes() for x in shown.x[rows.ravel()]}
    assert len(distinct) == rows.size


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_views_are_of_the_images_dtype_and_between_their_least_and_greatest_values(dtype):
    dataset = example(dtype)
    x = with_views(dataset, KINDS["all"], 0).x
    assert x.dtype == dtype
    assert x.min() >= 0
    assert x.max() <= dataset.x.max()


def test_the_background_is_what_scaling_makes_zero():
    dataset = example()
    dataset.offset[:] = 40.0
    white = replace(dataset, x=np.full_like(dataset.x, 200))
    shown = with_views(white, KINDS["shift"], 0)
    found = np.unique(shown.x[shown.rows("train")])
    assert found.tolist() == [40, 200]


@pytest.mark.parametrize("views", KINDS.values(), ids=KINDS)
def test_a_row_that_a_split_holds_out_changes_none_of_its_views(views):
    """Also as the least pixel of all, which is the background of the splits that train on it."""
    dataset = example(np.float64)
    darker = replace(dataset, x=dataset.x.copy(), offset=dataset.offset.copy())
    assert (dataset.assignment[:, 4] == [2, 0]).all()
    darker.x[4] = darker.offset[1] = -50.0
    plain, other = with_views(dataset, views, 0), with_views(darker, views, 0)
    for split in range(2):
        rows, of = plain.rows("train", split), other.rows("train", split)
        assert np.array_equal(plain.x[rows], other.x[of]) == (split == 0)
        assert np.array_equal(plain.labels(rows, split), other.labels(of, split))
        own = replace(darker, assignment=darker.assignment[[split]], offset=darker.offset[[split]])
        alone = with_views(replace(own, scale=darker.scale[[split]]), views, 0)
        assert np.array_equal(alone.x[alone.rows("train")], other.x[of])
    assert len(other.y) == 12 + (len(views) - 1) * (7 + 8)


def by_loops(image, moves, background):
    """Of one image and one (2, height, width), pixel by pixel, in the same float64."""
    height, width = image.shape

    def at(y, x):
        return float(image[y, x]) if 0 <= y < height and 0 <= x < width else background

    result = np.empty(image.shape)
    for row, column in np.ndindex(image.shape):
        y, x = (int(moves[k, row, column]) + UNITS_PER_PIXEL * (row, column)[k] for k in range(2))
        (top, down), (left, across) = divmod(y, UNITS_PER_PIXEL), divmod(x, UNITS_PER_PIXEL)
        down, across = down / UNITS_PER_PIXEL, across / UNITS_PER_PIXEL
        above = at(top, left) * (1 - across) + at(top, left + 1) * across
        below = at(top + 1, left) * (1 - across) + at(top + 1, left + 1) * across
        result[row, column] = above * (1 - down) + below * down
    return result


def test_a_view_is_bilinear_between_four_pixels_also_across_and_far_beyond_the_edges():
    random = np.random.default_rng(1)
    images = random.normal(size=(6, *SHAPE))
    moves = random.integers(-4000, 4000, (6, 2, *SHAPE))
    moves[1] = random.integers(-300, 300, (2, *SHAPE))
    expected = np.stack([by_loops(*pair, 0.25) for pair in zip(images, moves, strict=True)])
    assert np.array_equal(warp_bilinear(images, moves, 0.25), expected)


def test_the_linear_part_is_the_map_about_the_centre():
    """Of the entries as drawn, in floats: a point of the view shows what the image has at A (p - c) + c."""
    views, rows = Views(number=2, affine=0.3), 50
    moves = views.displacements(1, stream(0, "test"), np.ones(rows, bool), SHAPE) / UNITS_PER_PIXEL
    grid = [_spline(side, max(SHAPE)).shape[1] for side in SHAPE]
    draws = 2 * stream(0, "test").random((rows, 6 + 2 * grid[0] * grid[1])) - 1
    entries = 0.3 * draws[:, 2:6].reshape(rows, 2, 2)
    points = np.stack(np.meshgrid(*(np.arange(side) - (side - 1) / 2 for side in SHAPE), indexing="ij"))
    expected = np.einsum("rij,jyx->riyx", entries, points)
    bound = 0.5 / UNITS_PER_PIXEL + 0.5 / UNITS_PER_ENTRY * sum((side - 1) / 2 for side in SHAPE)
    assert np.abs(moves - expected).max() <= bound + 1e-12


def test_the_elastic_part_is_a_cubic_spline_that_moves_by_no_more_than_its_corners():
    views, rows = Views(number=2, elastic=2.0), 200
    moves = views.displacements(1, stream(0, "test"), np.ones(rows, bool), SHAPE) / UNITS_PER_PIXEL
    weights = [_spline(side, max(SHAPE)) / UNITS_PER_WEIGHT for side in SHAPE]
    grid = [of.shape[1] for of in weights]
    draws = 2 * stream(0, "test").random((rows, 6 + 2 * grid[0] * grid[1])) - 1
    corners = 2.0 * draws[:, 6:].reshape(rows, 2, *grid)
    expected = np.einsum("yi,rkij,xj->rkyx", weights[0], corners, weights[1])
    assert np.abs(moves - expected).max() < 2 / UNITS_PER_PIXEL
    assert np.abs(moves).max() < 2.0 + 1 / UNITS_PER_PIXEL
    assert np.abs(moves).max() > 0.8


@pytest.mark.parametrize("side", [4, 7, 28, 29, 100])
def test_the_splines_weights_are_one_in_all_and_keep_straight_lines(side):
    weights = _spline(side, side)
    assert np.abs(weights.sum(axis=1) - UNITS_PER_WEIGHT).max() <= 2
    cell = -(-side // SPLINE_CELLS)
    lines = (weights * (np.arange(weights.shape[1]) - 1)).sum(axis=1) / UNITS_PER_WEIGHT * cell
    assert np.abs(lines - np.arange(side)).max() <= cell * weights.shape[1] * 2 / UNITS_PER_WEIGHT


def test_an_epoch_shows_each_example_once_in_a_view_that_is_drawn_evenly_and_for_each_replica():
    generators, choices = ([stream(0, name, k) for k in range(2)] for name in ("order", "view"))
    drawn = np.stack([draw_orders(generators, 100, choices, 5) for _ in range(40)])  # (epochs, R, n)
    assert (np.sort(drawn % 100, axis=-1) == np.arange(100)).all()
    counts = np.stack([np.bincount(of.ravel() // 100, minlength=5) for of in drawn.transpose(1, 0, 2)])
    assert counts.shape == (2, 5)
    # 800 of each are expected: 5 standard deviations of a binomial are 126.
    assert np.abs(counts - 800).max() < 126
    alone = draw_orders([stream(0, "order", 1)], 100, [stream(0, "view", 1)], 5)
    assert np.array_equal(drawn[0, 1], alone[0])
    assert not np.array_equal(drawn[0, 0] // 100, drawn[0, 1] // 100)


def test_without_views_the_order_draws_no_view():
    choice = stream(0, "view")
    state = choice.bit_generator.state
    draw_orders([stream(0, "order")], 10, [choice])
    assert choice.bit_generator.state == state


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Function of changes to params.yaml that runs all stages but the last ones on 200 digits, and gives `Params`."""
    monkeypatch.chdir(tmp_path)

    def run(**changes):
        params = quick_params(prepare={"dataset": "digits", "max_samples": 200, "splits": 2}, **changes)
        for stage in (prepare, train_teacher, train_baseline, distill):
            stage.main(params)
        return params

    return run


BENT = {"shift": 1, "views": 3, "affine": 0.1, "elastic": 1.0}


def test_the_student_hears_what_the_teacher_says_of_the_views_that_it_sees(run, monkeypatch):
    asked, told = [], []

    def watched(network, dataset, progress):
        asked.append((len(dataset.y), split_logits(network, dataset, told.append)))
        return asked[-1][1]

    monkeypatch.setattr(distill, "split_logits", watched)
    run(student={"augment": BENT})
    shown = with_views(Dataset.load(PATHS.dataset), Views(1, 3, 0.1, 1.0), 0)
    ((rows, logits),) = asked
    assert rows == len(shown.y)
    assert sum(told) == len(shown.present(0)) + len(shown.present(1))
    teacher = load_model(PATHS.teacher, Dataset.load(PATHS.dataset)).network
    for split, own in enumerate(network_slices(2, teacher.replicas)):
        of = shown.present(split)
        expected = ensemble_logits(teacher.select(own).logits(shown.inputs(of, split)))
        assert np.array_equal(logits[split, of], expected)


def test_views_change_the_networks_that_see_them_and_no_others(run):
    def trained():
        return {path: read_npz(path)["weights_0"] for path in (PATHS.teacher, PATHS.baseline, PATHS.student)}

    run()
    plain = trained()
    run(teacher={"augment": {"shift": 1}})
    of_teacher = trained()
    run(student={"augment": {"shift": 1}})
    of_student = trained()
    same = {path: np.array_equal(plain[path], of_teacher[path]) for path in plain}
    assert same == {PATHS.teacher: False, PATHS.baseline: True, PATHS.student: False}
    same = {path: np.array_equal(plain[path], of_student[path]) for path in plain}
    assert same == {PATHS.teacher: True, PATHS.baseline: False, PATHS.student: False}


def test_a_teacher_that_cannot_be_asked_about_views_is_refused(run):
    with pytest.raises(UserError, match=r"student.augment: the teacher has logits of the images alone"):
        run(student={"augment": BENT}, teacher={"model": "LogisticRegression"})


def test_parts_on_other_processes_have_the_same_bytes(run):
    run(student={"augment": BENT})
    alone = Path(PATHS.student).read_bytes(), Path(PATHS.baseline).read_bytes()
    run(student={"augment": BENT}, execution={"workers": 2})
    assert (Path(PATHS.student).read_bytes(), Path(PATHS.baseline).read_bytes()) == alone
