"""The file of a dataset: its digest, its encoding, its names."""

import numpy as np
import pytest

from kdlib.data.dataset import Dataset
from kdlib.data.encoding import Column, Encoding
from kdlib.io.errors import UserError
from tests.preparation.small_datasets import examples, prepare


def test_content_that_is_not_the_digests_is_refused(tmp_path):
    from kdlib.io.artifacts import read_npz, write_npz

    prepare().save(tmp_path / "dataset.npz")
    arrays = read_npz(tmp_path / "dataset.npz")
    arrays["y"][0] += 1
    write_npz(tmp_path / "dataset.npz", arrays)
    with pytest.raises(UserError, match="digest"):
        Dataset.load(tmp_path / "dataset.npz")


def test_the_encoding_is_part_of_the_digest(tmp_path):
    data = examples()
    data.encoding = Encoding(tuple(Column(name, "number") for name in data.feature_names)).to_json()
    dataset = prepare(data=data)
    assert dataset.digest != prepare().digest
    dataset.save(tmp_path / "dataset.npz")
    assert Dataset.load(tmp_path / "dataset.npz").encoding == data.encoding
    prepare().save(tmp_path / "dataset.npz")
    assert Dataset.load(tmp_path / "dataset.npz").encoding == ""


@pytest.mark.parametrize("text", ["[1]", "{", Encoding((Column("other", "number"),)).to_json()])
def test_an_encoding_of_other_features_is_refused(tmp_path, text):
    from kdlib.io.artifacts import array_digest, read_npz, write_npz

    path = tmp_path / "dataset.npz"
    data = examples()
    data.encoding = text
    dataset = prepare(data=data)
    for check in (dataset.validate, lambda: dataset.save(path)):
        with pytest.raises(UserError, match="its encoding has other features"):
            check()
    assert not path.exists()
    prepare().save(path)
    arrays = read_npz(path) | {"encoding": np.array(text)}
    del arrays["digest"]
    write_npz(path, arrays | {"digest": np.array(array_digest(arrays))})
    with pytest.raises(UserError, match=r"not a dataset \(its encoding has other features\)"):
        Dataset.load(path)


def test_a_dataset_with_a_name_that_harms_a_file_is_refused(tmp_path):
    data = examples()
    data.class_names[1] = "</script>"
    prepare(data=data).save(tmp_path / "dataset.npz")
    with pytest.raises(UserError, match=r"dataset\.npz: a class: '</script>' has markup"):
        Dataset.load(tmp_path / "dataset.npz")
