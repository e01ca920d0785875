"""What CI runs and installs is named to the byte."""

import re

import pytest
import yaml

from tests.conftest import ROOT

WORKFLOWS = [yaml.safe_load(path.read_text("utf-8")) for path in sorted(ROOT.glob(".github/workflows/*.yml"))]
JOBS = [job for workflow in WORKFLOWS for job in workflow["jobs"].values()]
STEPS = [step for job in JOBS for step in job["steps"]]
EXTRAS = "tables", "deploy", "remote", "speed", "cluster", "mpi"
LOCK = (ROOT / "requirements.lock").read_text("utf-8")


def test_a_workflow_may_read_and_no_more():
    assert WORKFLOWS
    assert [workflow["permissions"] for workflow in WORKFLOWS] == [{"contents": "read"}] * len(WORKFLOWS)


def test_a_job_ends():
    assert all(job["timeout-minutes"] <= 90 for job in JOBS)


def test_an_action_is_a_commit_and_keeps_no_credentials():
    actions = [step for step in STEPS if "uses" in step]
    assert actions
    assert [step["uses"] for step in actions if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"])] == []
    checkouts = [step for step in actions if step["uses"].startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_ci_installs_the_lock_and_nothing_else():
    script = (ROOT / ".ci/run").read_text("utf-8")
    installs = re.findall(r"^ *pip install (.*)$", script, re.MULTILINE)
    assert installs == [
        f"--quiet -r requirements.txt $(printf -- '-r requirements-%s.txt ' {' '.join(EXTRAS)})",
        "--quiet --require-hashes -r requirements.lock",
        "--quiet --no-deps --no-build-isolation -e .",
    ]


def test_the_lock_has_hashes_and_no_address():
    pinned = re.findall(r"^\S+==\S+(?: ;[^\\\n]*)?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", LOCK, re.MULTILINE)
    assert len(pinned) == len(re.findall(r"^\w.*$", LOCK, re.MULTILINE))
    assert not re.search(r"://|--index|--find", LOCK)


def test_the_lock_is_of_the_requirements():
    texts = [(ROOT / f"requirements{name}.txt").read_text("utf-8") for name in ("", *(f"-{name}" for name in EXTRAS))]
    named = re.findall(r"^([\w-]+)[>=]", "".join(texts), re.MULTILINE)
    assert len(named) > 5
    assert {name.lower() for name in [*named, "setuptools"]} <= set(re.findall(r"^([\w-]+)==", LOCK, re.MULTILINE))


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_and_its_file_name_the_same(extra):
    """The file may have more, which a package's metadata has no place for: an MPI."""
    named = re.search(rf"^{extra} = (\[.*\])$", (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)[1]
    assert set(re.findall('"(.*?)"', named)) <= set(
        (ROOT / f"requirements-{extra}.txt").read_text("utf-8").splitlines()
    )
