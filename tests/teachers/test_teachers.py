"""Teachers that are not a network of ours: classifiers of scikit-learn, and answers of another model in a file."""

import contextlib
import datetime
import hashlib
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdlib import __main__ as tools
from kdlib.backends.threads import Threads
from kdlib.data.dataset import Dataset
from kdlib.io.artifacts import read_npz, write_npz
from kdlib.io.errors import UserError
from kdlib.learning.calibration import TEMPERATURES, fit_temperature
from kdlib.pipeline.command_line import PATHS
from kdlib.teachers import external
from kdlib.teachers.classifiers import (
    build_classifier,
    count_fits,
    fit_and_predict,
    fit_classifier,
    predict_out_of_fold,
)
from kdlib.teachers.folds import assign_folds, folds_by_split, rows_to_fit
from kdlib.teachers.smoothing import smoothed_log_probabilities
from stages import train_teacher
from tests.conftest import MAINS, ROOT, quick_params

NEAREST = {"model": "KNeighborsClassifier", "options": {"n_neighbors": 1}}
FOREST = {"model": "RandomForestClassifier", "options": {"n_estimators": 20}}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def prepared(**prepare):
    MAINS["prepare"](quick_params(prepare={"splits": 2} | prepare))
    return Dataset.load(PATHS.dataset)


def run(params, *stages):
    for stage in stages or MAINS:
        MAINS[stage](params)


class TestFolds:
    @settings(deadline=None)
    @given(st.lists(st.integers(0, 3), min_size=2, max_size=60), st.integers(2, 7), st.integers(0, 9))
    def test_each_class_is_spread_evenly(self, y, count, seed):
        y = np.array(y)
        fold = assign_folds(y, count, seed)
        for members in [np.ones(len(y), bool), *(y == label for label in np.unique(y))]:
            sizes = np.bincount(fold[members], minlength=count)
            assert sizes.max() - sizes.min() <= 1

    def test_are_of_the_labelled_training_rows_alone(self, here):
        dataset = prepared(labeled_fraction=0.5)
        for split, own in enumerate(folds_by_split(dataset, 5, 0)):
            assert np.array_equal(np.flatnonzero(own < 5), dataset.labeled(split))
            for k in range(6):
                taught = rows_to_fit(own, k, 5)
                assert set(taught) <= set(dataset.labeled(split)) - set(np.flatnonzero(own == k))
        assert np.array_equal(rows_to_fit(own, 5, 5), dataset.labeled(1))

    def test_equal_rows_are_in_one_fold(self, here):
        groups = np.random.default_rng(0).integers(0, 40, 200)
        y = np.random.default_rng(1).integers(0, 2, 200)
        fold = assign_folds(y, 5, 0, groups=groups)
        assert all(len(np.unique(fold[groups == group])) == 1 for group in np.unique(groups))
        assert np.bincount(fold).min() > 25
        assert np.array_equal(assign_folds(y, 5, 0, groups=np.arange(200)), assign_folds(y, 5, 0))
        dataset = prepared(splits=2)
        dataset.x = dataset.x[np.arange(len(dataset.y)) // 3]
        for split, own in enumerate(folds_by_split(dataset, 5, 0)):
            labeled = dataset.labeled(split)
            assert np.array_equal(np.sort(own[labeled])[[0, -1]], [0, 4])
            for row in np.unique(dataset.x, axis=0):
                assert len(np.unique(own[labeled][(dataset.x[labeled] == row).all(axis=1)])) <= 1

    def test_differ_by_split_and_seed(self):
        y = np.zeros(40, dtype=int)
        drawn = {tuple(assign_folds(y, 5, seed, split)) for seed in (0, 1) for split in (0, 1)}
        assert len(drawn) == 4


class TestSmoothing:
    @settings(deadline=None)
    @given(
        st.lists(st.floats(0, 1), min_size=2, max_size=6).filter(lambda p: sum(p) > 1e-3),
        st.integers(1, 10**6),
    )
    def test_gives_the_log_of_probabilities_in_the_same_order(self, p, n):
        z = smoothed_log_probabilities(np.array([p]), n)[0].astype(np.float64)
        assert np.exp(z).sum() == pytest.approx(1, rel=1e-5)
        order = np.argsort(p, kind="stable")
        assert (np.diff(z[order]) >= 0).all()

    def test_of_a_zero_is_a_share_of_one_example(self):
        z = smoothed_log_probabilities(np.array([[0.0, 1.0]]), 99)[0].astype(np.float64)
        assert np.exp(z) == pytest.approx([0.005, 0.995])


class TestClassifier:
    def test_training_rows_are_answered_by_models_that_have_not_seen_them(self, here):
        """Of labels at random the nearest neighbour knows its own rows' alone."""
        rng = np.random.default_rng(0)
        x, y = rng.random((200, 3)), rng.integers(0, 2, 200)
        classifier = build_classifier(NEAREST["model"], NEAREST["options"])
        logits, model = predict_out_of_fold(classifier, x, y, assign_folds(y, 5, 0), 5, 2, 0)
        assert (model.predict(x) == y).all()
        assert abs((logits.argmax(axis=1) == y).mean() - 0.5) < 0.15

    def test_other_rows_are_answered_by_the_model_of_all_training_rows(self, here):
        from sklearn.neighbors import KNeighborsClassifier

        dataset = prepared(labeled_fraction=0.5)
        logits, _ = fit_and_predict(*NEAREST.values(), dataset, 5, 0)
        for split in range(2):
            taught = dataset.labeled(split)
            others = np.setdiff1d(np.arange(len(dataset.y)), taught)
            model = KNeighborsClassifier(1).fit(dataset.inputs(taught, split), dataset.y[taught])
            expected = smoothed_log_probabilities(model.predict_proba(dataset.inputs(others, split)), len(taught))
            shares = expected / logits[split, others]
            assert np.ptp(shares) < 1e-5
            assert np.ptp(shares) < abs(TEMPERATURES - shares.mean()).min() + 1e-5

    def test_what_is_held_out_teaches_nothing(self, here):
        dataset = prepared(splits=1)
        before, _ = fit_and_predict(*FOREST.values(), dataset, 3, 0)
        train, held_out = dataset.rows("train"), np.flatnonzero(dataset.assignment[0])
        dataset.x[held_out] *= -5
        dataset.y[held_out] = 0
        after, _ = fit_and_predict(*FOREST.values(), dataset, 3, 0)
        assert np.array_equal(before[:, train], after[:, train])
        assert not np.array_equal(before[:, held_out], after[:, held_out])

    def test_the_number_of_processes_is_no_matter(self, here):
        dataset = prepared()
        name, options = FOREST.values()
        one, two = (fit_and_predict(name, options | {"n_jobs": jobs}, dataset, 3, 0) for jobs in (None, 2))
        assert np.array_equal(one[0], two[0])
        assert one[1] == two[1]

    def test_it_has_no_more_threads_than_ours_and_tells_of_each_model(self, here):
        threadpoolctl = pytest.importorskip("threadpoolctl")
        dataset, seen = prepared(labeled_fraction=0.5), []

        def counts():
            return [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]

        before = counts()
        fit_and_predict(*NEAREST.values(), dataset, 3, 0, lambda: seen.append(set(counts())), Threads(1))
        assert seen == [{1}] * 8 == [{1}] * count_fits(dataset, 3, 0)
        assert counts() == before

    def test_minutes_are_not_silent(self, here, caplog, monkeypatch):
        class Bar:
            total = 4
            steps = 0

            def update(self):
                self.steps += 1

        now = [0.0]
        bar = Bar()
        monkeypatch.setattr(train_teacher.time, "monotonic", lambda: now[0])
        after_fit = train_teacher.FitProgress(bar)
        with caplog.at_level(logging.INFO):
            for seconds in (4, 4, 4, 40):
                now[0] += seconds
                after_fit()
        assert caplog.messages == ["3 of 4 models fitted", "4 of 4 models fitted"]
        assert bar.steps == 4

    @pytest.mark.skipif(sys.platform != "linux", reason="scikit-learn brings another OpenMP, or none")
    def test_its_threads_wait_asleep(self, here):
        """As OpenMP itself says when it is loaded: they spin no round."""
        prepared()
        command = [sys.executable, "-m", "stages.train_teacher", "--config", str(ROOT / "params.yaml")]
        command += ["--set", "teacher.model=KNeighborsClassifier"]
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_"))}
        environment |= {"PYTHONPATH": str(ROOT), "OMP_DISPLAY_ENV": "verbose"}
        process = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True)
        assert "GOMP_SPINCOUNT = '0'" in process.stderr

    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("RandomForestClassifier", {"n_estimators": 5}),
            ("HistGradientBoostingClassifier", {"max_iter": 2}),
            ("LinearSVC", {}),
        ],
    )
    def test_classes_have_weights_by_their_names(self, here, name, options):
        """Also where a fold lacks one of them. Of a class without a weight it is 1."""
        dataset = prepared(splits=1)
        dataset.class_names = ["7", "no", "1"]
        dataset.y[dataset.labeled()[3:]] = np.arange(len(dataset.labeled()) - 3) % 2
        dataset.y[dataset.labeled()[:3]] = 2
        options = options | {"random_state": 0}
        found, _ = fit_and_predict(name, options | {"class_weight": {7: 5, "1": 0.5}}, dataset, 4, 0)
        classifier = build_classifier(name, options | {"class_weight": {0: 5, 1: 1, 2: 0.5}})
        x, y = dataset.inputs(np.arange(len(dataset.y))), dataset.y
        expected, _ = predict_out_of_fold(classifier, x, y, folds_by_split(dataset, 4, 0)[0], 4, 3, 0)
        assert np.array_equal(found[0], expected)
        assert not np.array_equal(found, fit_and_predict(name, options, dataset, 4, 0)[0])

    def test_a_class_whose_rows_all_weigh_nothing_is_not_known(self):
        """The trees of boosting are fitted without its rows, and it gets the least probability of each row."""
        x = np.random.default_rng(0).normal(size=(90, 2))
        y = np.arange(90) % 3
        weights = (y < 2).astype(np.float64)
        classifier = build_classifier("HistGradientBoostingClassifier", {"max_iter": 2})
        logits, model = predict_out_of_fold(classifier, x, y, assign_folds(y, 3, 0), 3, 3, 0, weights=weights)
        assert model.classes_.tolist() == [0, 1]
        assert (logits.argmin(axis=1) == 2).all()

    def test_rows_weigh_in_the_calibration_too(self):
        """The nearest neighbour takes no weights; calibrated on its wrong answers alone, it is as unsure as can be."""
        x = np.random.default_rng(0).normal(size=(200, 2))
        y = (x[:, 0] > 0).astype(int)
        classifier = build_classifier("KNeighborsClassifier", {"n_neighbors": 1})
        plain, _ = predict_out_of_fold(classifier, x, y, assign_folds(y, 5, 0), 5, 2, 0)
        wrong = plain.argmax(axis=1) != y
        weights = np.where(wrong, 1, 1e-6)
        with pytest.warns(UserWarning, match="takes no sample_weight"):
            logits, _ = predict_out_of_fold(classifier, x, y, assign_folds(y, 5, 0), 5, 2, 0, weights=weights)
        assert np.abs(logits).max() < np.abs(plain).max()

    def test_it_is_fitted_again_with_the_weights(self, here, capsys):
        prepared()
        teacher = {"model": "GaussianNB", "options": {"class_weight": {"setosa": 2}}}
        with pytest.raises(UserError, match="class_weight: unknown; GaussianNB has priors"):
            run(quick_params(teacher=teacher), "train_teacher")
        run(quick_params(teacher=teacher | {"model": "LogisticRegression"}), "train_teacher")
        tools.latency(PATHS.teacher, 8, PATHS.dataset)
        assert capsys.readouterr().out.startswith(f"{PATHS.teacher}: LogisticRegression, ")

    def test_random_state_follows_from_the_seed_unless_it_is_given(self):
        x, y = np.random.default_rng(0).random((60, 4)), np.arange(60) % 3
        free, fixed = (build_classifier(FOREST["model"], {"random_state": state}) for state in (None, 7))
        states = [
            fit_classifier(free, x, y, number, seed, 5).random_state
            for seed, number in ((0, 0), (0, 0), (1, 0), (0, 1))
        ]
        assert states[0] == states[1]
        assert len(set(states)) == 3
        assert fit_classifier(fixed, x, y, 0, 0, 5).random_state == 7

    @pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")  # of old scikit-learn, new SciPy
    @pytest.mark.parametrize("name", ["LinearSVC", "Perceptron", "RidgeClassifier"])
    def test_decisions_are_calibrated(self, here, name):
        dataset = prepared(splits=1)
        logits, _ = fit_and_predict(name, {}, dataset, 5, 0)
        assert np.isfinite(logits).all()
        assert (logits.argmax(axis=-1)[0] == dataset.y).mean() > 0.6

    def test_a_class_of_one_row(self):
        """The fold that has it is answered by a model that has not."""
        x, y = np.arange(20.0)[:, None], np.array([0] * 10 + [1] * 9 + [2])
        logits, _ = predict_out_of_fold(build_classifier("GaussianNB", {}), x, y, assign_folds(y, 5, 0), 5, 3, 0)
        assert logits[19].argmax() == 1
        assert np.isfinite(logits).all()

    @pytest.mark.parametrize("name", ["HistGradientBoostingClassifier", "SGDClassifier"])
    def test_a_fold_of_one_class(self, name):
        """The one row of the other class is answered by a model that knows no other than the first."""
        x, y = np.arange(20.0)[:, None], np.array([0] * 19 + [1])
        options = {"max_iter": 2} if name.startswith("Hist") else {"loss": "log_loss"}
        logits, _ = predict_out_of_fold(build_classifier(name, options), x, y, assign_folds(y, 5, 0), 5, 2, 0)
        assert logits[19].argmax() == 0
        assert np.isfinite(logits).all()

    def test_what_is_calibrated_needs_rows_of_each_class(self):
        x, y = np.arange(20.0)[:, None], np.array([0] * 8 + [1] * 8 + [2] * 4)
        for rows, enough in ((4, True), (3, True), (2, False), (1, False)):
            own = slice(16 + rows)
            context = contextlib.nullcontext() if enough else pytest.raises(UserError, match="3 labelled training rows")
            with context:
                predict_out_of_fold(
                    build_classifier("RidgeClassifier", {}), x[own], y[own], assign_folds(y[own], 5, 0), 5, 3, 0
                )

    @pytest.mark.parametrize(
        ("teacher", "words"),
        [
            ({"model": "RandomForest"}, ["teacher.model: got 'RandomForest'", "mlp", "RandomForestClassifier"]),
            (
                {"model": "VotingClassifier"},
                ["teacher.model: got 'VotingClassifier'", "a classifier of scikit-learn, such as"],
            ),
            (
                {"model": "LGBMClassifier"},
                ["lightgbm.LGBMClassifier", "answers in a file, data/raw/my.npz", "--export", "HistGradientBoosting"],
            ),
            ({"model": "KNeighborClassifier"}, ["such as KNeighborsClassifier"]),
            (
                FOREST | {"options": {"class_weight": {"setosa": 2, "rose": 3}}},
                ["teacher.options.class_weight: got the class 'rose'", "setosa, versicolor, virginica"],
            ),
            (
                FOREST | {"options": {"class_weight": [1, 2, 3]}},
                ["class_weight: got [1, 2, 3]; needs weights by class"],
            ),
            (
                FOREST | {"options": {"class_weight": {"setosa": -2}}},
                ["teacher.options.class_weight.setosa: got -2", "not negative"],
            ),
            (
                FOREST | {"options": {"max_depth": datetime.date(2011, 3, 4)}},
                ["teacher.options: needs numbers, text", "date"],
            ),
            (FOREST | {"options": {"n_trees": 3}}, ["teacher.options.n_trees: unknown", "n_estimators", "max_depth"]),
            ({"model": "KNeighborsClassifier", "options": {"n_neighbors": 1000}}, ["teacher.options", "n_neighbors"]),
            (FOREST | {"options": {"n_estimators": "many"}}, ["teacher.options", "n_estimators", "'many'"]),
        ],
        ids=str,
    )
    def test_what_is_wrong_is_named_with_what_is_allowed(self, here, teacher, words):
        prepared()
        with pytest.raises(UserError) as refused:
            run(quick_params(teacher=teacher), "train_teacher")
        message = str(refused.value)
        assert "\n" not in message
        assert [word for word in words if word not in message] == []
        assert not Path(PATHS.teacher).exists()

    def test_what_scikit_learn_warns_of_is_logged_once(self, here, caplog, recwarn):
        prepared()
        run(quick_params(teacher={"model": "LinearSVC", "options": {"max_iter": 1}}), "train_teacher")
        assert [text.split(": ")[0] for text in caplog.messages if "failed to converge" in text] == ["LinearSVC"]
        assert [str(warning.message) for warning in recwarn] == []

    @pytest.mark.parametrize("prepare", [{"labeled_fraction": 0.3}, {"transfer_classes": ["setosa", "virginica"]}])
    def test_a_run_with_it(self, here, prepare, capsys):
        params = quick_params(teacher=FOREST, prepare={"splits": 2} | prepare)
        run(params)
        head = json.loads(Path("metrics/metrics.json").read_text("utf-8"))
        detail = json.loads(Path("metrics/details.json").read_text("utf-8"))
        assert head["teacher"] == detail["teacher"]["model"] == "RandomForestClassifier"
        assert head["compression_bytes"] == pytest.approx(detail["teacher"]["bytes"] / detail["student"]["bytes"])
        printed = capsys.readouterr().out
        assert f" {detail['teacher']['bytes']:,} |" in printed
        assert "x fewer bytes" in printed
        assert "begins at its logits" in printed

    def test_is_timed_by_fitting_it_again(self, here, capsys):
        prepared()
        run(quick_params(teacher=FOREST), "train_teacher")
        tools.latency(PATHS.teacher, 8, PATHS.dataset)
        assert capsys.readouterr().out.startswith(f"{PATHS.teacher}: RandomForestClassifier, ")


def loop(rows, classifier):
    """As in docs/teachers.md: probabilities (S, n, classes) of any model with fit and predict_proba."""
    x, y, fold = rows["x"], rows["y"], rows["fold"]
    count = fold.max()
    p = np.empty((*fold.shape, len(rows["class_names"])))
    for split, own in enumerate(fold):
        for k in range(count + 1):
            fitted = (own != k) & (own != count)
            p[split, own == k] = classifier.fit(x[fitted], y[fitted]).predict_proba(x[own == k])
    return p


@pytest.fixture
def asked(here):
    """(dataset, rows as exported, what a model answers to them)."""
    from sklearn.neighbors import KNeighborsClassifier

    dataset = prepared(labeled_fraction=0.5, scaling="none")
    external.export_rows("data/rows.npz", dataset, 5, 0)
    rows = dict(np.load("data/rows.npz", allow_pickle=False))
    return dataset, rows, loop(rows, KNeighborsClassifier(3))


PATH = "data/raw/teacher.npz"


def test_prepare_writes_the_hash_of_the_file_of_answers_and_of_no_other(here):
    os.makedirs("data/raw")
    written = []
    absent = "data/raw/none.npz"
    for model, content in (("mlp", b"a"), (PATH, b"a"), (PATH, b"b"), ("GaussianNB", b"b"), (absent, b"b")):
        Path(PATH).write_bytes(content)
        run(quick_params(teacher={"model": model}), "prepare")
        written.append(Path(PATHS.answers).read_text("utf-8"))
    assert written == ["\n", *(f"{hashlib.sha256(content).hexdigest()}\n" for content in (b"a", b"b")), "\n", "\n"]


def given_file(**arrays):
    os.makedirs("data/raw", exist_ok=True)
    write_npz(PATH, {name: np.array(value) for name, value in arrays.items()})
    return PATH


class TestExternal:
    def test_answers_to_the_exported_rows_are_the_classifiers_own(self, asked):
        dataset, rows, p = asked
        path = given_file(probabilities=p, digest=rows["digest"], class_names=rows["class_names"], bytes=12)
        logits, origin = external.read_logits(path, dataset)
        theirs, _ = fit_and_predict("KNeighborsClassifier", {"n_neighbors": 3}, dataset, 5, 0)
        for split, own in enumerate(logits):
            taught = dataset.labeled(split)
            scale = np.float32(fit_temperature(own[taught], dataset.y[taught]))
            assert np.array_equal(own / scale, theirs[split])
        assert origin == {"model": "foreign", "one_for_all": False, "bytes": 12, "digest": True}

    def test_one_number_or_text_may_be_an_array_of_one(self, asked):
        dataset, rows, p = asked
        path = given_file(probabilities=p, digest=[str(rows["digest"])], bytes=[12])
        assert external.read_logits(path, dataset)[1]["bytes"] == 12

    def test_logits_are_as_they_are(self, asked):
        dataset, _, p = asked
        logits, _ = external.read_logits(given_file(logits=p.astype(np.float32) - 7), dataset)
        assert np.array_equal(logits, p.astype(np.float32) - 7)

    def test_rows_in_any_order_by_their_numbers(self, asked):
        dataset, rows, p = asked
        order = np.random.default_rng(0).permutation(len(dataset.y))
        expected, _ = external.read_logits(given_file(probabilities=p), dataset)
        logits, _ = external.read_logits(given_file(probabilities=p[:, order], id=rows["id"][order]), dataset)
        assert np.array_equal(logits, expected)

    @pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
    def test_what_rounding_leaves_of_probabilities_is_clipped(self, asked, dtype):
        dataset, _, _ = asked
        p = np.eye(3)[dataset.y]
        expected, _ = external.read_logits(given_file(probabilities=p), dataset)
        beyond = np.where(p == 1, np.nextafter(dtype(1), dtype(2)), dtype(-1e-9))
        logits, _ = external.read_logits(given_file(probabilities=beyond.astype(dtype)), dataset)
        assert np.array_equal(logits, expected)
        for p_of_class, message in ((1.002, "row 3 has 1.002 in column 0"), (-0.002, "row 3 has -0.002 in column 0")):
            p[3] = p_of_class, 1 - p_of_class, 0
            with pytest.raises(UserError, match=message):
                external.read_logits(given_file(probabilities=p), dataset)

    def test_probabilities_by_the_name_of_logits_are_refused_with_a_remedy(self, asked):
        dataset, _, p = asked
        for values in (p, p[0], p.astype(np.float32), np.rint(p).astype(int)):
            with pytest.raises(UserError, match=r"sums to 1, as probabilities do: name them probabilities; .* add 1"):
                external.read_logits(given_file(logits=values), dataset)
        raised, _ = external.read_logits(given_file(logits=p + 1), dataset)
        assert np.array_equal(raised, (p + 1).astype(np.float32))
        p[1, 7] *= 2
        assert np.array_equal(external.read_logits(given_file(logits=p), dataset)[0], p.astype(np.float32))

    def test_what_is_named_may_be_in_an_array_of_one_and_in_bytes(self, asked):
        dataset, rows, p = asked
        named = {"bytes": [12], "digest": [rows["digest"]], "class_names": rows["class_names"].astype(bytes)}
        assert external.read_logits(given_file(probabilities=p, **named), dataset)[1]["bytes"] == 12
        named["digest"] = rows["digest"].astype(bytes)
        assert external.read_logits(given_file(probabilities=p, **named), dataset)[1]["bytes"] == 12

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda f, p: f | {"logits": p}, ["logits", "or", "probabilities", "id"]),
            (lambda f, p: {"id": f["id"]}, ["holds id", "needs logits or probabilities"]),
            (lambda f, p: f | {"class_name": ["a"]}, ["class_name", "class_names"]),
            (lambda f, p: f | {"probabilities": p[:, 1:]}, ["(2, 149, 3)", "(2, 150, 3)", "(150, 3)"]),
            (lambda f, p: f | {"probabilities": p[:1]}, ["(1, 150, 3)", "(2, 150, 3)"]),
            (lambda f, p: f | {"probabilities": p[..., :2]}, ["(2, 150, 2)", "(2, 150, 3)"]),
            (lambda f, p: f | {"probabilities": p.astype(str)}, ["numbers (2, 150, 3)"]),
            (lambda f, p: f | {"probabilities": p * 0.9}, ["row 0 sums to 0.9", "logits"]),
            (lambda f, p: f | {"probabilities": p - 1}, ["row 0 has -1 in column 1", "[0, 1]"]),
            (lambda f, p: f | {"probabilities": p * np.nan}, ["row 0", "nan"]),
            (lambda f, p: {"logits": np.where(np.arange(150)[:, None] == 7, np.inf, p)}, ["row 7 is not finite"]),
            (lambda f, p: {"logits": np.where(np.arange(150)[:, None] == 7, 1e39, p)}, ["row 7", "finite in float32"]),
            (lambda f, p: f | {"digest": "0" * 64}, ["digest", "000000000000", "export"]),
            (lambda f, p: f | {"class_names": ["a", "b", "c"]}, ["class_names", "a, b, c", "setosa"]),
            (lambda f, p: f | {"id": f["id"] + 1}, ["id", "0 to 149"]),
            (lambda f, p: f | {"id": f["id"][:-1]}, ["id", "0 to 149"]),
            (lambda f, p: f | {"bytes": "many"}, ["bytes", "whole number"]),
            (lambda f, p: f | {"bytes": 0}, ["bytes: got 0", "whole number from 1"]),
            (lambda f, p: f | {"bytes": -5}, ["bytes: got -5", "whole number from 1"]),
            (lambda f, p: f | {"bytes": 1.5}, ["bytes: got 1.5", "whole number from 1"]),
            (lambda f, p: f | {"bytes": [1, 2]}, ["bytes: got int", "(2,)", "whole number from 1"]),
        ],
    )
    def test_what_does_not_fit_is_refused(self, asked, change, words):
        dataset, rows, p = asked
        path = given_file(**change({"probabilities": p, "id": rows["id"]}, p))
        with pytest.raises(UserError) as refused:
            external.read_logits(path, dataset)
        message = str(refused.value)
        assert message.startswith(f"{PATH}: ")
        assert "\n" not in message
        assert [word for word in words if word not in message] == []

    def test_a_file_that_is_not_there(self, asked):
        with pytest.raises(UserError, match="model names it"):
            external.read_logits("data/raw/none.npz", asked[0])

    def test_a_file_with_a_pickle(self, asked):
        os.makedirs("data/raw", exist_ok=True)
        np.savez(PATH, probabilities=np.array([object()]), allow_pickle=True)
        with pytest.raises(UserError, match="without pickles"):
            external.read_logits(PATH, asked[0])

    def test_a_run_with_it_says_so(self, asked, capsys):
        _, _, p = asked
        given_file(probabilities=p[0])
        run(quick_params(teacher={"model": PATH}, prepare={"splits": 2, "labeled_fraction": 0.5, "scaling": "none"}))
        assert json.loads(Path("metrics/metrics.json").read_text("utf-8"))["teacher"] == "foreign"
        printed = capsys.readouterr().out
        assert "teacher: foreign; the promise of same bytes begins at its logits" in printed
        assert "note: one teacher's answers for all splits" in printed
        assert "compression" not in printed
        with pytest.raises(UserError, match="time it where it runs"):
            tools.latency(PATHS.teacher, 8, PATHS.dataset)

    def test_answers_in_sample_are_warned_of(self, here, caplog):
        dataset = prepared(dataset="digits", splits=1)
        said = np.eye(10)[dataset.y] * 5
        wrong = dataset.rows("validation")[::4]
        said[wrong] = np.roll(said[wrong], 1, axis=-1)
        params = quick_params(teacher={"model": given_file(logits=said[None])})
        with caplog.at_level(logging.WARNING):
            train_teacher.main(params)
        assert "out-of-fold" in caplog.text
        assert "right on 100.0 %" in caplog.text

    def test_answers_in_another_order_are_no_teacher(self, here, capsys):
        dataset = prepared(dataset="digits", splits=1)
        order = np.random.default_rng(0).permutation(len(dataset.y))
        given_file(probabilities=np.eye(10)[dataset.y][None, order])
        run(quick_params(teacher={"model": PATH}, prepare={"dataset": "digits"}))
        assert "warning: the teacher is hardly better than a constant" in capsys.readouterr().out


def test_a_teacher_that_was_put_there_by_hand_is_not_replaced(asked):
    dataset, _, p = asked
    by_hand = {"logits": smoothed_log_probabilities(p, 60), "dataset_digest": np.array(dataset.digest)}
    write_npz(PATHS.teacher, by_hand)
    with pytest.raises(UserError, match="move it to data/raw/ and name it in teacher"):
        run(quick_params(), "train_teacher")
    os.makedirs("data/raw", exist_ok=True)
    Path(PATHS.teacher).rename(PATH)
    run(quick_params(teacher={"model": PATH}), "train_teacher")
    assert np.array_equal(read_npz(PATHS.teacher)["logits"], by_hand["logits"])
    run(quick_params(teacher={"model": PATH}), "train_teacher")


@pytest.mark.parametrize("model", ["mlp", PATH])
def test_options_are_of_a_classifier(model):
    with pytest.raises(ValueError, match="options are of a classifier"):
        quick_params(teacher={"model": model, "options": {"n_estimators": 3}})


def test_a_file_outside_of_data_raw_is_refused():
    with pytest.raises(ValueError, match="copy it to data/raw/"):
        quick_params(teacher={"model": "models/teacher.npz"})


@pytest.mark.slow
def test_dvc_sees_another_file_and_puts_nothing_in_its_place(project, tmp_path):
    clone = project.copy(tmp_path / "clone")
    dataset = Dataset.load(clone.folder / PATHS.dataset)
    clone.configure(teacher={"model": PATH})
    for seed in (0, 1):
        logits = np.random.default_rng(seed).random((1, len(dataset.y), 3)).astype(np.float32)
        write_npz(clone.folder / PATH, {"logits": logits})
        assert set(clone.ran("repro")) >= {"train_teacher", "distill", "deploy", "evaluate", "page"}
        assert np.array_equal(read_npz(clone.folder / PATHS.teacher)["logits"], logits)
    assert clone.ran("repro") == []
    changes = ("teacher.model=RandomForestClassifier", "teacher.options={n_estimators: 5}")
    clone.dvc("exp", "run", *(word for change in changes for word in ("--set-param", change)))
    head = json.loads((clone.folder / "metrics/metrics.json").read_text("utf-8"))
    assert head["teacher"] == "RandomForestClassifier"
