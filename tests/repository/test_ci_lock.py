"""What CI runs and installs is named to the byte."""

import re

import yaml

from tests.conftest import ROOT

WORKFLOWS = [yaml.safe_load(path.read_text("utf-8")) for path in sorted(ROOT.glob(".github/workflows/*.yml"))]
JOBS = [job for workflow in WORKFLOWS for job in workflow["jobs"].values()]
STEPS = [step for job in JOBS for step in job["steps"]]
EXTRAS = "tables", "deploy", "remote", "speed", "cluster", "mpi"
LOCK = (ROOT / ".ci/requirements.lock").read_text("utf-8")


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
        f"--quiet -r requirements.txt -e '.[{','.join(EXTRAS)}]'",
        "--quiet --require-hashes -r .ci/requirements.lock",
        "--quiet --no-deps --no-build-isolation -e .",
    ]


def test_the_lock_has_hashes_and_no_address():
    pinned = re.findall(r"^\S+==\S+(?: ;[^\\\n]*)?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", LOCK, re.MULTILINE)
    assert len(pinned) == len(re.findall(r"^\w.*$", LOCK, re.MULTILINE))
    assert not re.search(r"://|--index|--find", LOCK)


def requirements(*extras):
    """The lines of requirements.txt that name a package, and those of the extras in pyproject.toml."""
    lines = [line for line in (ROOT / "requirements.txt").read_text("utf-8").splitlines() if line[0] != "-"]
    return lines + [line for extra in extras for line in extra_of(extra)]


def extra_of(name):
    """An extra's requirements, as pyproject.toml has them."""
    named = re.search(rf"^{name} = \[(.*?)\]$", (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return re.findall('"(.*?)"', named[1])


def test_the_lock_is_of_the_requirements():
    named = {re.match(r"[\w-]+", line)[0].lower() for line in requirements(*EXTRAS)}
    assert len(named) > 15
    assert {*named, "setuptools"} <= set(re.findall(r"^([\w-]+)==", LOCK, re.MULTILINE))


def test_the_lock_is_made_of_all_extras():
    assert f"$(printf -- '--extra %s ' {' '.join(EXTRAS)})" in (ROOT / ".ci/lock").read_text("utf-8")


def test_requirements_txt_has_numpy_the_extra_of_the_pipeline_and_what_tests():
    tools = {"pytest", "hypothesis", "mpmath", "ruff"}
    listed = [line for line in requirements() if re.match(r"\w+", line)[0] not in tools]
    (numpy,) = extra_of("dependencies")
    assert sorted(listed) == sorted([numpy, *extra_of("pipeline")])
