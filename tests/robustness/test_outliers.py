"""One cell far out of its range: what it may spoil, and what it may not."""

import logging
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris

from kdlib.io.artifacts import read_npz, write_npz
from kdlib.pipeline.command_line import PATHS
from stages import prepare, train_baseline
from tests.conftest import MAINS, quick_params

ORDER = np.random.default_rng(0).permutation(150)
SOURCE = "data/raw/iris.npz"


@pytest.fixture
def examples(tmp_path, monkeypatch):
    """The arrays of iris, of which 30 are the test set, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    x, y = (array[ORDER] for array in load_iris(return_X_y=True))
    Path(SOURCE).parent.mkdir(parents=True)
    return {"x_train": x[:120], "y_train": y[:120], "x_test": x[120:], "y_test": y[120:]}


@pytest.mark.parametrize("arithmetic", ["exact", "fast"])
def test_a_spoilt_row_of_the_test_set_changes_no_other_rows_logits(examples, arithmetic):
    """Bit for bit where training repeats its bits: in exact arithmetic, and in fast on one machine and thread."""
    params, predictions = quick_params(prepare={"dataset": SOURCE}, arithmetic=arithmetic), []
    for spoilt in (False, True):
        examples["x_test"][7, 2] *= 1e8 if spoilt else 1
        write_npz(SOURCE, examples)
        for main in MAINS.values():
            main(params)
        predictions.append(read_npz(PATHS.predictions))
    clean, spoilt = predictions
    others = np.arange(30) != 7
    for name in ("baseline_test_0", "student_test_0", "teacher_test_0"):
        assert np.array_equal(clean[name][:, others], spoilt[name][:, others])
        assert not np.array_equal(clean[name], spoilt[name])


def test_a_value_that_crowds_out_the_others_in_training_is_told_with_its_column(examples, caplog):
    params = quick_params(prepare={"dataset": SOURCE, "scaling": "none"}, student={"learning_rate": 1e-9})
    examples["x_train"][[1, 100], 2] = 5000.0  # at least one is trained on: 13 rows are for validation
    write_npz(SOURCE, examples)
    prepare.main(params)
    with caplog.at_level(logging.WARNING):
        train_baseline.main(params)
    (record,) = caplog.records
    assert "feature feature_2: its largest scaled value, 5000, is over 128 times" in record.getMessage()


def test_usual_data_give_no_warning(examples, caplog):
    params = quick_params(prepare={"dataset": SOURCE})
    write_npz(SOURCE, examples)
    with caplog.at_level(logging.WARNING):
        prepare.main(params)
        train_baseline.main(params)
    assert caplog.records == []
