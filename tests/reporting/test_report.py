"""The report's measures and verdict, and what of them metrics.json has."""

import json
import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import yaml
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score, recall_score, roc_auc_score

from kdlib.data.dataset import Dataset
from kdlib.evaluation.heldout import NETWORKS, HeldoutLogits
from kdlib.evaluation.metrics import METRICS
from kdlib.io.artifacts import read_npz, write_json
from kdlib.pipeline.command_line import PATHS
from kdlib.pipeline.schema import Evaluate
from kdlib.reporting.report import build_report, headline, network_measures
from kdlib.reporting.table import GAIN_UNITS, table_rows
from tests.conftest import MAINS, ROOT, quick_params

VERDICTS = get_args(Evaluate.model_fields["verdict"].annotation)


def results():
    """The content of metrics.json and of details.json."""
    return [json.loads(Path(f"metrics/{name}.json").read_text("utf-8")) for name in ("metrics", "details")]


def test_each_allowed_verdict_is_a_measure_and_each_measure_has_a_unit():
    assert set(VERDICTS) == METRICS.keys() - {"ece", "brier"}
    assert {metric.unit for metric in METRICS.values()} == GAIN_UNITS.keys()


def test_dvc_measures_again_where_the_verdict_is_by_another_measure_and_trains_nothing():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"]
    assert [name for name, stage in stages.items() if "evaluate" in stage["params"]] == ["evaluate"]


@pytest.mark.parametrize("verdict", VERDICTS)
def test_the_verdict_is_by_the_measure_that_was_named(verdict, trained, tmp_path, monkeypatch, capsys):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    MAINS["evaluate"](quick_params(evaluate={"verdict": verdict}))
    head, details = results()
    gain = details["gain"]["test"][verdict]
    assert (head[f"{verdict}_gain"], head["verdict"]) == (gain["mean"], gain["verdict"])
    differences = [details[name]["test"][verdict]["mean"] for name in ("student", "baseline")]
    assert gain["mean"] == pytest.approx(differences[0] - differences[1], abs=2e-6)
    assert [key for key in head if key.endswith("_gain")] == [f"{verdict}_gain"]
    assert {f"{name}_{verdict}" for name in ("student", "baseline")} <= head.keys()
    title = f"test {METRICS[verdict].name}, student - baseline"
    assert f"{title}: " in capsys.readouterr().out
    assert title in Path("metrics/summary.svg").read_text("utf-8")
    assert verdict in details["quantized"]["gain"]["test"]


@pytest.mark.parametrize(("key", "verdict"), [("nll", "worse"), ("roc_auc", "better")])
def test_whether_more_is_better_depends_on_the_measure(key, verdict, trained, tmp_path, monkeypatch):
    """All gains are made to be +1 with an interval above zero."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kdlib.reporting.report.gain", lambda *_: {"mean": 1.0, "verdict": "higher"})
    monkeypatch.setattr("kdlib.reporting.report.collapse.find_collapsed", lambda *_: {})
    result = MAINS["evaluate"](quick_params(evaluate={"verdict": key}))
    assert headline(result)["verdict"] == verdict


def test_an_unknown_verdict_is_refused():
    with pytest.raises(ValueError, match="verdict: got 'auc'; allowed are accuracy, balanced_accuracy, "):
        build_report(None, {}, None, None, verdict="auc")


def test_several_classes_have_no_area_in_the_headline(trained):
    head = json.loads((trained / "metrics/metrics.json").read_text("utf-8"))
    assert not [key for key in head if key.endswith(("roc_auc", "average_precision"))]
    assert {f"{name}_{key}" for name in ("student", "baseline") for key in ("balanced_accuracy", "macro_f1")} <= set(
        head
    )


@pytest.fixture(scope="module")
def of_two_classes(tmp_path_factory):
    """A folder in which all stages ran on breast_cancer."""
    folder = tmp_path_factory.mktemp("two")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, main in MAINS.items():
            if name != "page":
                main(quick_params(prepare={"dataset": "breast_cancer"}))
    return folder


def test_two_classes_are_measured_as_scikit_learn_does(of_two_classes, monkeypatch):
    monkeypatch.chdir(of_two_classes)
    head, details = results()
    dataset = Dataset.load(PATHS.dataset)
    labels = dataset.y[dataset.rows("test")]
    for name in (*NETWORKS, "quantized"):
        logits = read_npz(PATHS.predictions)[f"{name}_test_0"].astype(np.float64)
        margin = logits[..., 1] - logits[..., 0]
        expected = {
            "roc_auc": [roc_auc_score(labels, own) for own in margin],
            "average_precision": [average_precision_score(labels, own) for own in margin],
            "balanced_accuracy": [balanced_accuracy_score(labels, own.argmax(1)) for own in logits],
            "macro_f1": [f1_score(labels, own.argmax(1), average="macro") for own in logits],
        }
        for key, values in expected.items():
            assert details[name]["test"][key]["mean"] == pytest.approx(np.mean(values), abs=1e-6)
        for key in ("roc_auc", "average_precision"):
            assert head[f"{name}_{key}"] == details[name]["test"][key]["mean"]
        recall = np.mean([recall_score(labels, own.argmax(1), average=None) for own in logits], axis=0)
        found = [details["recall"][of] for of in dataset.class_names]
        assert [own[name] for own in found] == pytest.approx(recall, abs=1e-6)
        assert [own["examples"] for own in found] == np.bincount(labels).tolist()


def test_a_subset_without_a_class_is_left_out_and_where_all_are_there_is_a_dash(tmp_path):
    """Two splits; the second tests on no positive example, and neither validates on one."""
    logits = {"validation": [np.ones((1, 2, 2))] * 2, "test": [np.array([[[0, 1.0], [1, 0], [0, 2]]])] * 2}
    labels = {"validation": [np.zeros(2, int)] * 2, "test": [np.array([1, 0, 0]), np.zeros(3, int)]}
    heldout = HeldoutLogits(dict.fromkeys(NETWORKS, logits), labels, [None] * 2, [None] * 2)
    measured = {name: network_measures(heldout, name, np.zeros(2, bool)) for name in NETWORKS}
    assert measured["student"]["test"]["roc_auc"] == {"mean": 0.5}
    assert measured["student"]["validation"]["roc_auc"] == {"mean": None}
    write_json(tmp_path / "a.json", measured)
    cells = {label: others for label, *others in table_rows(json.loads((tmp_path / "a.json").read_text("utf-8")))}
    assert cells["test ROC AUC %"] == ["50.00"] * 3
    assert cells["validation ROC AUC %"] == ["–"] * 3
