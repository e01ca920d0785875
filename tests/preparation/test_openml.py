"""Datasets of openml.org, from the copies that scikit-learn has."""

import gzip
import json
import shutil
from pathlib import Path
from urllib.error import URLError

import pytest

from kdlib.io.errors import UserError
from kdlib.preparation import sources
from kdlib.preparation.column_options import ColumnOptions
from tests.data.own_tables import told


def cached(number, folder):
    """Put into the cache below `folder` what scikit-learn has of a dataset of openml.org for its own tests."""
    import sklearn

    kept = Path(sklearn.__file__).parent / "datasets/tests/data/openml" / f"id_{number}"
    if not kept.is_dir():
        pytest.skip("this scikit-learn has no copies of openml.org's answers")
    about = json.loads(gzip.decompress((kept / f"api-v1-jd-{number}.json.gz").read_bytes()))["data_set_description"]
    (data,) = kept.glob("data-v1-dl-*")
    api, url = "api/v1/json/data", about["url"].split("openml.org/")[1]
    copies = {f"{api}/{kind}{number}": kept / f"api-v1-{short}-{number}.json.gz" for kind, short in
              (("", "jd"), ("features/", "jdf"), ("qualities/", "jdq"))} | {url: data}  # fmt: skip
    copies[f"data/v1/download/{about['file_id']}"] = data  # where older ones look
    for path, source in copies.items():
        if not source.exists():
            continue  # of some it has no qualities
        target = folder / "data/raw/openml/openml.org" / f"{path}.gz"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """An empty working directory; openml.org cannot be reached."""
    loader = pytest.importorskip("sklearn.datasets._openml")

    def unreachable(request):
        raise URLError("no network")

    monkeypatch.setattr(loader, "urlopen", unreachable)
    monkeypatch.setattr(loader.time, "sleep", lambda seconds: None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_openmls_iris_is_the_bundled_one(offline):
    cached(61, offline)
    ours, bundled = sources.load_examples("openml:61", None), sources.load_examples("iris", None)
    assert ours.class_names == ["Iris-setosa", "Iris-versicolor", "Iris-virginica"]
    assert ours.feature_names == ["sepallength", "sepalwidth", "petallength", "petalwidth"]
    assert ours.y.tolist() == bundled.y.tolist()
    assert (ours.x == bundled.x).mean() > 0.99  # two rows are known to differ between the copies


def test_openmls_categories_and_missing_values(offline):
    cached(42585, offline)
    examples = sources.load_examples("openml:42585", None)
    assert examples.class_names == ["Adelie", "Chinstrap", "Gentoo"]
    assert examples.feature_names[:5] == [
        "island=Biscoe", "island=Dream", "island=Torgersen", "culmen_length_mm", "culmen_length_mm is missing",
    ]  # fmt: skip
    assert examples.feature_names[-4:] == ["sex=FEMALE", "sex=MALE", "sex=_", "sex is missing"]
    assert examples.x[:, [4, -1]].sum(axis=0).tolist() == [2, 10]
    other = sources.load_examples("openml:42585", "island", ColumnOptions(["sex", "species"]))
    assert other.class_names == ["Biscoe", "Dream", "Torgersen"]


def test_openmls_regression_is_told(offline):
    cached(561, offline)
    with pytest.raises(UserError, match=r"openml:561: column class has 104 different numbers in 209 rows.*regression"):
        sources.load_examples("openml:561", None)


def test_what_openml_has_not_or_is_no_table_is_told(offline):
    assert "PATH is not to be had" in told("openml:7", None)
    cached(292, offline)
    assert "PATH is sparse" in told("openml:292", None)
    cached(61, offline)
    assert "PATH is not to be had" in told("openml:61", "kind")
    assert "prepare.drop: got 'kind'" in told("openml:61", None, drop=["kind"])
