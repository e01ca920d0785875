"""YAML from anybody: what it means, or one line in no time."""

import pytest
import yaml

from kdlib.pipeline import yaml_loader
from kdlib.pipeline.params import load_params

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + k)}: &{chr(98 + k)} [{', '.join(['*' + chr(97 + k)] * 9)}]\n" for k in range(9)
)
REFUSED = {
    "billion laughs": LAUGHS,
    "laughs in a cycle": "a: &a [*a, x]",
    "an empty integer": 'seed: !!int ""',
    "no boolean": "seed: !!bool x",
    "no date": "seed: !!timestamp x",
    "no month": "seed: 2024-13-45",
    "no float": "seed: !!float _",
    "no character": '"\\UFFFFFFFF": 1',
    "brackets": "[" * 3000,
    "dashes": "- " * 3000,
    "question marks": "? " * 3000,
    "a key twice": "seed: 0\nteacher: {epochs: 1}\nseed: 1",
    "a key twice, deep": "teacher: {epochs: 1, epochs: 2}",
    "a number twice": "{1: a, 0x1: b}",
    "a huge integer": "seed: 0x" + "F" * 5000,
    "a huge decimal": "seed: " + "9" * 5000,
    "a huge base": "seed: 1" + ":59" * 5000,
    "a huge float": "seed: !!float 1" + ":59" * 5000,
    "a list as a key": "? [a]\n: 1",
    "an object": "!!python/object/apply:os.mkdir [exploded]",
    "a long text": "#" * 70_000,
    "no UTF-8": b"\x80\x81",
    "two documents": "a: 1\n---\nb: 2",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_it_is_refused_in_one_line(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(yaml.YAMLError):
        yaml_loader.load(text)
    (tmp_path / "params.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=r"params\.yaml: not YAML") as refused:
        load_params("params.yaml")
    assert len(str(refused.value)) < 300
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    "text",
    ["a: &a {b: 1}\nc: {<<: *a, b: 2}", "a: [1, 2.5, yes, null, ~, x]", "a: 2024-01-02", "a: -0x1F", "", "[[[[1]]]]"],
)
def test_what_is_plain_is_as_pyyaml_reads_it(text):
    assert yaml_loader.load(text) == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-05", 1e-5), ("1e-5", 1e-5), ("1.e3", 1e3), (".5E+2", 50.0), ("-2e1", -20.0), ("+1.5e-300", 1.5e-300),
        ("1e400", float("inf")),
    ],
)  # fmt: skip
def test_floats_are_those_of_yaml_1_2(text, value):
    """DVC writes 0.00001 as 1e-05."""
    assert yaml_loader.load(f"a: [{text}]") == {"a": [value]}


@pytest.mark.parametrize("text", ["e5", "1e", "1e5x", "1e-", "e", "'1e-05'", "1e5.5", "x1e5"])
def test_what_is_no_float_of_yaml_1_2_is_text(text):
    assert yaml_loader.load(text) == text.strip("'")


def test_a_small_number_is_one_in_the_file_and_by_set(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("student:\n  weight_decay: 1e-05\n")
    assert load_params(path).student.weight_decay == 1e-5
    assert load_params(path, ["student.weight_decay=1e-6"]).student.weight_decay == 1e-6
