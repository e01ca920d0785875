"""The datasets that scikit-learn brings."""

import numpy as np
import pytest
from sklearn import datasets

from kdlib.data.dataset import Dataset
from kdlib.io.errors import UserError
from kdlib.preparation import builtin, sources
from tests.preparation.small_datasets import inputs, prepare


@pytest.mark.parametrize("name", builtin.FILES)
def test_bundled_tables_are_what_scikit_learns_loaders_give(name):
    x, y, classes, features, image_shape = builtin.read(name)
    bunch = getattr(datasets, f"load_{name}")()
    assert x.astype(np.float64).tobytes() == np.ascontiguousarray(bunch.data).tobytes()
    assert (x.dtype, x.flags.c_contiguous) == (np.uint8 if name == "digits" else np.float64, True)
    assert (y.tolist(), y.dtype) == (bunch.target.tolist(), np.int64)
    assert classes == [str(c) for c in bunch.target_names]
    assert features == [str(f) for f in bunch.feature_names]
    assert image_shape == (bunch.images.shape[1:] if "images" in bunch else ())


def test_without_scikit_learn_a_bundled_table_is_refused(monkeypatch):
    monkeypatch.setattr(builtin, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="iris comes with scikit-learn"):
        sources.load_examples("iris", None)


@pytest.mark.parametrize("name", builtin.FILES)
def test_bundled_datasets(name, tmp_path):
    dataset = prepare(data=sources.load_examples(name, None), train_ratio=0.8, val_ratio=0.1, scaling="minmax")
    dataset.save(tmp_path / "dataset.npz")
    again = Dataset.load(tmp_path / "dataset.npz")
    assert again.digest == dataset.digest
    assert again.class_names == dataset.class_names
    assert len(again.feature_names) == again.x.shape[1]
    assert inputs(again, "train").min() == 0
