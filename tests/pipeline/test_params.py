"""Defaults of the parameters, and what params.yaml and docs/parameters.md say about them."""

import re

import pytest
import yaml

from docs.generate import commented, described
from kdlib.pipeline.params import SECTIONS, load_params
from kdlib.pipeline.schema import Params, recipe_of
from tests.conftest import DVC_YAML, ROOT, quick_params

TEXT = (ROOT / "params.yaml").read_text("utf-8")


def test_params_yaml_has_the_defaults():
    assert load_params(ROOT / "params.yaml") == Params()


def test_params_yaml_shows_about_thirty_keys():
    content = yaml.safe_load(TEXT)
    assert 25 <= sum(len(value) if key in SECTIONS else 1 for key, value in content.items()) <= 35


@pytest.mark.parametrize("stage", DVC_YAML["stages"])
def test_it_has_what_dvc_tracks(stage):
    """DVC refuses to run a stage that tracks a key that the file lacks."""
    content = yaml.safe_load(TEXT)
    for key in DVC_YAML["stages"][stage].get("params", []):
        section, *rest = key.split(".")
        assert section in content, key
        assert not rest or rest[0] in content[section], key


def test_its_comments_are_the_descriptions():
    section = Params
    for indent, key, comment in re.findall(r"^( *)(\w+):[^#\n]*(?:# (.*))?$", TEXT, re.MULTILINE):
        owner = section if indent else Params
        assert comment == (described(owner, key) or ""), key
        if not indent and key in SECTIONS:
            section = type(Params.model_fields[key].default)


def test_its_comments_are_written_from_the_descriptions():
    assert commented(TEXT) == TEXT, "run: python docs/generate.py"
    stale = re.sub(r"^([^#\n]+# ).*$", r"\1stale", TEXT, flags=re.MULTILINE)
    assert stale.count("# stale") > 25
    assert commented(stale) == TEXT
    added = TEXT.replace("  splits: 10 ", "  drop: []\n  splits: 10 ")
    line = commented(added).split(" drop:")[1].splitlines()[0]
    assert line == " []               # columns of a table that are no features, such as [id]"


@pytest.mark.parametrize("text", ["prepare: {dataset: iris}\n", "prepare:\n", "seed: 0\n"])
def test_a_file_of_one_line_is_enough(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    assert load_params(path).student == Params().student
    assert load_params(path, ["student.epochs=3"]).student.epochs == 3


def test_every_key_is_described():
    sections = {name: type(Params.model_fields[name].default) for name in SECTIONS}
    undescribed = [
        name for name, field in Params.model_fields.items() if name not in SECTIONS and not field.description
    ]
    undescribed += [
        f"{name}.{key}" for name, of in sections.items() for key in of.model_fields if not described(of, key)
    ]
    assert undescribed == []


@pytest.mark.parametrize(
    ("changes", "section", "image_shape", "kept"),
    [
        ({}, "student", (), "best"),
        ({}, "teacher", (8, 8), "last"),
        ({"student": {"keep": "best"}}, "student", (8, 8), "best"),
        ({"student": {"keep": "last"}}, "student", (), "last"),
        ({"prepare": {"transfer_classes": ["7"]}}, "student", (), "last"),
        ({"prepare": {"transfer_classes": ["7"]}}, "teacher", (), "best"),
        ({"teacher": {"patience": 3}}, "teacher", (8, 8), "best"),
    ],
)
def test_the_best_epoch_of_a_table_is_kept_and_the_last_of_images(changes, section, image_shape, kept):
    assert recipe_of(quick_params(**changes), section, image_shape).keep == kept
