"""Temperatures that fit the labels, and what is deployed with them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdlib.data.dataset import Dataset
from kdlib.deployment.integer_stack import load_stack
from kdlib.deployment.model_file import load
from kdlib.deployment.onnx_export import onnx_file
from kdlib.evaluation.metrics import negative_log_likelihood
from kdlib.io.artifacts import read_npz, write_npz
from kdlib.io.errors import UserError
from kdlib.learning.calibration import (
    POWERS_OF_TWO,
    PRIOR_ROWS,
    TEMPERATURES,
    calibrate,
    fit_temperature,
    with_temperatures,
)
from kdlib.learning.model_file import load_model
from kdlib.learning.network import Network
from kdlib.pipeline.command_line import PATHS
from tests.conftest import MAINS, files, quick_params

FLOAT = f"{PATHS.deployed}/float.npz"
INTEGERS = f"{PATHS.deployed}/int.npz"
STACK = f"{PATHS.deployed}/stack.npz"


class TestTemperature:
    @settings(max_examples=10, deadline=None)
    @given(st.integers(0, 99), st.sampled_from([0.4, 1.0, 2.5]))
    def test_finds_how_much_too_sure_the_answers_are(self, seed, factor):
        """Labels drawn from softmax(z): answers z * factor have to be divided by about the factor."""
        rng = np.random.default_rng(seed)
        z = 2 * rng.normal(size=(3000, 4))
        labels = np.argmax(z + rng.gumbel(size=z.shape), axis=1)
        assert fit_temperature(z * factor, labels) == pytest.approx(factor, rel=0.15)

    def test_gives_the_least_loss(self):
        rng = np.random.default_rng(0)
        z, labels = rng.normal(size=(200, 3)), rng.integers(0, 3, 200)
        losses = [
            -np.mean(np.log(np.exp(z / t) / np.exp(z / t).sum(axis=1, keepdims=True))[np.arange(200), labels])
            for t in TEMPERATURES
        ]
        assert fit_temperature(z, labels) == TEMPERATURES[np.argmin(losses)]

    def test_of_few_rows_that_are_all_right_is_near_one(self):
        """Without the further rows it is the least one, and the first mistake costs ten times as much."""
        z = np.array([[2.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 2.5]] * 5)
        labels = np.argmax(z, axis=1)
        assert fit_temperature(z, labels) == TEMPERATURES[0]
        assert 0.7 < fit_temperature(z, labels, prior_rows=PRIOR_ROWS) < 1
        assert fit_temperature(z, labels, POWERS_OF_TWO, PRIOR_ROWS) == 1

    def test_further_rows_that_are_labelled_as_the_network_says_leave_one(self):
        z = np.random.default_rng(0).normal(size=(50, 3))
        assert fit_temperature(z, np.argmin(z, axis=1), prior_rows=10**9) == 1


class TestDivision:
    @pytest.fixture
    def network(self):
        network = Network((5, 4, 3), 2)
        network.initialize([np.random.default_rng(k) for k in range(2)])
        network.layers[-1][1][:] = 0.25
        return network

    def test_divides_the_logits_of_each_replica(self, network):
        x = np.random.default_rng(2).normal(size=(200, 5))
        before = network.parameters.copy()
        divided = with_temperatures(network, np.array([0.7, 3.0])).logits(x)
        assert divided == pytest.approx(network.logits(x) / np.array([0.7, 3.0])[:, None, None], rel=1e-4, abs=1e-5)
        assert np.array_equal(divided.argmax(axis=-1), network.logits(x).argmax(axis=-1))
        assert np.array_equal(network.parameters, before)

    def test_by_a_power_of_two_rounds_nothing(self, network):
        x = np.random.default_rng(2).normal(size=(200, 5))
        divided = with_temperatures(network, np.array([0.25, 2.0])).logits(x)
        assert np.array_equal(divided * np.array([0.25, 2.0])[:, None, None], network.logits(x))


@pytest.fixture
def here(trained, tmp_path, monkeypatch):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


def deploy(**changes):
    params = quick_params(deploy={"calibrate": True}, **changes)
    MAINS["deploy"](params)
    return params


class TestDeploy:
    def test_each_file_has_the_divided_logits(self, here):
        dataset = Dataset.load(PATHS.dataset)
        before = {path: load(path).logits(dataset.x) for path in (FLOAT, INTEGERS)}
        deploy()
        rows = dataset.rows("validation")
        deployed = load(FLOAT)
        labels = dataset.y[rows]
        t = fit_temperature(before[FLOAT][rows], labels, prior_rows=PRIOR_ROWS)
        assert t != 1
        for path, tolerance in ((FLOAT, 1e-4), (INTEGERS, 0.1)):
            assert load(path).logits(dataset.x) == pytest.approx(before[path] / t, abs=tolerance)
        assert np.array_equal(deployed.predict(dataset.x), np.array(dataset.class_names)[before[FLOAT].argmax(axis=-1)])
        nll = negative_log_likelihood(before[FLOAT][None, rows], labels)
        assert negative_log_likelihood(deployed.logits(dataset.x)[None, rows], labels) < nll
        assert Path(f"{PATHS.deployed}/student.onnx").read_bytes() == onnx_file(deployed)

    def test_each_network_of_the_stack_has_its_own_temperature(self, here):
        deploy()
        dataset = Dataset.load(PATHS.dataset)
        student = load_model(PATHS.student, dataset).network
        integers, temperatures = load_stack(STACK, student)
        divided, expected = calibrate(student, dataset, [0])
        assert np.array_equal(temperatures, expected)
        x = dataset.inputs(dataset.rows("test"))
        for own, logits in zip(integers, divided.logits(x), strict=True):
            assert own.logits(x) == pytest.approx(logits, abs=0.1)

    def test_off_it_is_as_before(self, here):
        before = files(Path(PATHS.deployed))
        MAINS["deploy"](quick_params())
        assert files(Path(PATHS.deployed)) == before
        assert load_stack(STACK, load_model(PATHS.student, Dataset.load(PATHS.dataset)).network)[1] is None

    def test_weights_on_levels_keep_their_integers(self, here):
        student = {"bits": 2, "epochs": 40}
        params = quick_params(student=student, deploy={"bits": 2})
        MAINS["train_baseline"](params)
        MAINS["distill"](params)
        MAINS["deploy"](params)
        before = load(INTEGERS).network
        MAINS["deploy"](quick_params(student=student, deploy={"bits": 2, "calibrate": True}))
        after = load(INTEGERS).network
        for ours, theirs in zip(after.layers, before.layers, strict=True):
            assert all(np.array_equal(own, other) for own, other in zip(ours, theirs, strict=True))
        _, temperatures = load_stack(STACK, load_model(PATHS.student, Dataset.load(PATHS.dataset)).network)
        assert set(temperatures) <= set(POWERS_OF_TWO)
        assert 2.0 ** (after.logit_exponent - before.logit_exponent) in temperatures

    @pytest.mark.parametrize("values", [[1.0], [1.0, -1.0], [1.0, "2"], 3, [1.0, None]])
    def test_a_damaged_stack_is_refused(self, here, values):
        deploy()
        arrays = read_npz(STACK)
        about = json.loads(arrays["about"].item()) | {"temperatures": values}
        write_npz(STACK, arrays | {"about": np.array(json.dumps(about).encode())})
        student = load_model(PATHS.student, Dataset.load(PATHS.dataset)).network
        with pytest.raises(UserError, match=r"stack.npz: not a stack of integer networks \(temperatures"):
            load_stack(STACK, student)


def test_the_report_says_what_it_changes(here, capsys):
    params = deploy()
    MAINS["evaluate"](params)
    printed = capsys.readouterr().out
    details = json.loads(Path("metrics/details.json").read_text("utf-8"))
    dataset = Dataset.load(PATHS.dataset)
    _, temperatures = load_stack(STACK, load_model(PATHS.student, dataset).network)
    found = details["calibrated"]
    assert found["temperature"]["mean"] == pytest.approx(temperatures.mean(), abs=1e-6)
    predictions = read_npz(PATHS.predictions)
    for subset in ("validation", "test"):
        labels = dataset.y[dataset.rows(subset)]
        divided = predictions[f"student_{subset}_0"] / temperatures[:, None, None]
        assert found[subset]["nll"]["mean"] == pytest.approx(negative_log_likelihood(divided, labels).mean(), abs=1e-5)
        assert found[subset]["accuracy"] == details["student"][subset]["accuracy"]
        assert found[subset]["agreement_student"]["mean"] == 1
        assert details["quantized"][subset]["kl_student"]["mean"] < found[subset]["kl_student"]["mean"]
        before, after = (details[name][subset]["nll"]["mean"] for name in ("student", "calibrated"))
        assert f"{subset}, student -> calibrated, logits / " in printed
        assert f"NLL {before:.4f} -> {after:.4f} nats" in printed
    assert found["validation"]["nll"]["mean"] < details["student"]["validation"]["nll"]["mean"]
    assert json.loads(Path("metrics/metrics.json").read_text("utf-8"))["calibrated_nll"] == found["test"]["nll"]["mean"]
    MAINS["page"](params)
    assert '"calibrated"' in Path("metrics/page.html").read_text("utf-8")
