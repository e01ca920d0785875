"""README and docs/ say what this tree does."""

import os
import re
import shutil
import subprocess
import venv

import numpy as np
import pytest
import yaml

from docs.generate import DOCS, PARTS, README, written
from kdlib.numerics import exact
from kdlib.pipeline.params import SECTIONS
from kdlib.pipeline.schema import Params
from tests.conftest import DVC_YAML, MAINS, ROOT, outputs

STAGES = list(MAINS)
PAGES = sorted(DOCS.glob("**/*.md"))
TEXTS = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *PAGES]


TRAINED = {"few", "unseen"}  # parts for which the whole pipeline runs on the digits


def generated(trained):
    """(path, name) of the generated parts that need a training, or of those that need none."""
    return [(path, name) for path, parts in PARTS.items() for name in parts if (name in TRAINED) == trained]


@pytest.mark.parametrize(("path", "name"), [
    *generated(trained=False), *(pytest.param(*each, marks=pytest.mark.slow) for each in generated(trained=True))
])  # fmt: skip
def test_a_generated_part_is_current(path, name):
    assert written(path, name) == PARTS[path][name](), "run: python docs/generate.py"


def code_under(heading, path=README):
    """Return the first block of Python under a heading."""
    text = path.read_text(encoding="utf-8").split(f"{heading}\n")[1]
    return re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1)


def links(path):
    """Return (target, heading) of each relative link and picture in a text; the target is the text itself if empty."""
    found = re.findall(r"\]\(([^)\s#]*)(?:#([^)\s]+))?\)", path.read_text("utf-8"))
    return [(path.parent / target if target else path, heading) for target, heading in found if "://" not in target]


def anchors(path):
    """Return the names by which a link reaches the headings of a text, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_the_readme_is_read_in_two_minutes():
    assert len(README.read_bytes()) <= 12_000


def test_every_page_is_linked_from_the_readme():
    linked = {target.resolve() for target, _ in links(README)}
    assert [path.name for path in TEXTS[1:] if path.resolve() not in linked] == []


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_link_leads_to_a_file_and_a_heading(path):
    for target, heading in links(path):
        assert target.exists(), target
        assert not heading or heading in anchors(target), (target.name, heading)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_the_keys_that_a_command_sets_exist(path):
    """DVC wants a plus before a key that params.yaml lacks, and none before another one."""
    shown = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    for plus, section, key in re.findall(r"-S '?(\+?)(\w+)(?:\.(\w+))?=", path.read_text("utf-8")):
        keys = dict(Params.model_fields[section].default) if section in SECTIONS else Params.model_fields
        name = key or section
        if section != "key":  # stands for any
            assert name in keys, (section, key)
            assert bool(plus) == (name not in (shown[section] if key else shown)), (section, key)


def test_the_paths_in_the_texts_are_there():
    text = README.read_text(encoding="utf-8")
    table = re.search(r"## Read the code\n(.*?)\n## ", text, re.DOTALL).group(1)
    packages = {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("kdlib/*/__init__.py")}
    listed = re.findall(r"^\| `([\w/.]+?)/?` \|", table, re.MULTILINE)
    assert sorted(listed) == sorted([*packages, "stages", "kdlib/estimator.py"])
    for text in TEXTS:
        named = re.findall(r"`((?:kdlib|stages|tests|benchmarks|experiments|docs)/[\w/.]+)`", text.read_text("utf-8"))
        assert [path for path in named if not (ROOT / path).exists()] == [], text.name


def test_the_diagram_is_the_pipelines():
    diagram = re.search(r"```mermaid\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL).group(1)
    drawn = set()
    for source, path, targets in re.findall(r"(\w+) -->(?:\|([\w.]+).*?\|)? (.+)", diagram):
        drawn |= {(source, target) for target in targets.split(" & ") if target in STAGES}
        assert not path or any(output.endswith(f"/{path}") for output in outputs(source))
    makers = {output: stage for stage in STAGES for output in outputs(stage)}
    edges = {(makers[dep], stage) for stage in STAGES for dep in DVC_YAML["stages"][stage]["deps"] if dep in makers}
    assert drawn == edges


@pytest.fixture(scope="module")
def empty_environment(tmp_path_factory):
    """The Python of a new virtual environment that has NumPy and what `pip install .` brings, and no more."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [python, "-m", "pip", "install", "--quiet"]
    if subprocess.run([*pip, "numpy"], capture_output=True).returncode:
        pytest.skip("no package index can be reached")
    source = folder / "source"
    shutil.copytree(README.parent / "kdlib", source / "kdlib", ignore=shutil.ignore_patterns("__pycache__"))
    for path in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(README.parent / path, source)
    subprocess.run([*pip, source], check=True)
    return python


@pytest.mark.slow
def test_the_library_needs_numpy_alone(empty_environment, tmp_path):
    options = {"cwd": tmp_path, "capture_output": True, "text": True, "check": True}
    listed = subprocess.run([empty_environment, "-m", "pip", "list", "--format=freeze"], **options).stdout
    installed = {line.split("==")[0].lower() for line in listed.split()}
    assert installed - {"pip", "setuptools", "wheel"} == {"kdlib", "numpy"}
    code = code_under("## Use it as a library")
    assert subprocess.run([empty_environment, "-c", code], **options).stdout.startswith("[")


def test_the_library_example_runs():
    code = code_under("## Use it as a library")
    scope = {}
    exec(code.replace("print(", "result = ("), scope)
    assert scope["result"].shape == (1,)
    assert exact.mean(scope["result"][None], axis=1)[0] > 0.6
    assert np.isfinite(scope["result"]).all()


@pytest.mark.slow
def test_the_estimators_example_runs(capsys):
    exec(code_under("## With scikit-learn", DOCS / "library.md"), {})
    score, fidelity = map(float, capsys.readouterr().out.split())
    assert score > 0.95
    assert fidelity > 0.95
