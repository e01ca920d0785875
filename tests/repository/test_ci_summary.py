"""What CI says of a pull request: the table, and what changes, whatever is in the files."""

import json
import re
import subprocess

import pytest
import yaml

from kdlib.reporting.table import format_report
from tests.conftest import ROOT, Project

HOSTILE = [
    "```", "`````", "</code></pre><img src=x onerror=alert(1)>", "[a](javascript:alert(1))", "![](//example.org/x.png)",
    "@everyone", "| a | b |", "# heading", "\x1b[31mred", "one\n```\ntwo", "one\r~~~\r# two", "<!-- <script>",
]  # fmt: skip


@pytest.fixture(scope="module")
def told(project, tmp_path_factory):
    """(shallow clone of a branch that changes params.yaml and some results, its summary), as in a pull request."""
    folder = tmp_path_factory.mktemp("pull_request")
    origin = project.copy(folder / "origin")
    origin.run("git", "checkout", "--quiet", "-b", "topic")
    for name in ("a commit between", "a change"):
        origin.run("git", "commit", "--quiet", "--allow-empty", "--message", name)
    params = yaml.safe_load((origin.folder / "params.yaml").read_text("utf-8"))
    params["distill"]["temperature"], params["prepare"]["transfer_classes"] = 2.5, HOSTILE
    (origin.folder / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")
    for name in ("metrics", "details"):
        path = origin.folder / f"metrics/{name}.json"
        content = json.loads(path.read_text("utf-8"))
        if name == "metrics":
            content |= {"student_nll": 0.125, "verdict": HOSTILE[2]}
        else:
            content["teacher"]["model"] = "".join(HOSTILE)
        path.write_text(json.dumps(content), "utf-8")
    origin.commit()
    clone = Project(folder / "clone", project.environment)
    url = origin.folder.as_uri()
    subprocess.run(["git", "clone", "--quiet", "--depth=1", "--branch=topic", url, clone.folder], check=True)
    return clone, run(clone, folder / "summary.md", GITHUB_BASE_REF="main")


def run(clone, path, **variables):
    """What a step appends to its summary, which has a line of another step."""
    path.write_text("before\n", "utf-8")
    Project(clone.folder, clone.environment | {"GITHUB_STEP_SUMMARY": str(path)} | variables).python(".ci/summary.py")
    assert path.read_text("utf-8").startswith("before\n## Results\n")
    return path.read_text("utf-8").removeprefix("before\n")


@pytest.mark.slow
def test_the_table_is_the_results(told):
    clone, text = told
    head, *_ = format_report(json.loads((clone.folder / "metrics/details.json").read_text("utf-8"))).split("\n\n")
    assert head in text


@pytest.mark.slow
def test_it_says_what_differs_from_the_base_branch(told):
    _, text = told
    params, metrics = re.search(r"## Changes of params\n(.*)## Changes of metrics\n(.*)", text, re.DOTALL).groups()
    assert re.search(r"^params\.yaml +distill\.temperature +4\.0 +2\.5 *$", params, re.MULTILINE)
    assert "teacher." not in params
    assert re.search(r"^metrics/metrics\.json +student_nll +[\d.]+ +0\.125 ", metrics, re.MULTILINE)
    assert "teacher_accuracy" not in metrics


@pytest.mark.slow
def test_all_that_comes_from_files_is_in_blocks_of_code(told):
    """By a parser of CommonMark: besides our headings there are such blocks, of printable characters alone."""
    markdown = pytest.importorskip(
        "markdown_it", reason="no markdown-it-py (pip install markdown-it-py linkify-it-py)"
    ).MarkdownIt("gfm-like")
    markdown.disable("linkify")
    _, text = told
    tokens = markdown.parse(text)
    blocks = [token.content for token in tokens if token.type == "fence"]
    assert [t.content for t in tokens if t.type == "inline"] == ["Results", "Changes of params", "Changes of metrics"]
    assert {token.type for token in tokens} == {"heading_open", "inline", "heading_close", "fence"}
    assert len(blocks) == 3
    assert "onerror" in blocks[0]
    assert "javascript" in blocks[1]
    assert "onerror" in blocks[2]
    assert all(line.isprintable() for of in blocks for line in of.splitlines())


@pytest.mark.slow
def test_a_base_that_cannot_be_fetched_is_a_sentence(told, tmp_path):
    clone, _ = told
    text = run(clone, tmp_path / "summary.md", GITHUB_BASE_REF="nowhere")
    assert text.endswith("## Changes\n\nThe base branch cannot be fetched.\n")


@pytest.mark.slow
def test_without_a_base_it_is_the_table_alone(told, tmp_path):
    clone, _ = told
    assert "Changes" not in run(clone, tmp_path / "summary.md", GITHUB_BASE_REF="")


@pytest.mark.slow
def test_results_that_are_none_are_a_line(told, tmp_path):
    clone, _ = told
    path = clone.folder / "metrics/details.json"
    content = path.read_text("utf-8")
    for wrong in ('{"student": 1}', "[]", "{", ""):
        path.write_text(wrong, "utf-8")
        assert "metrics/details.json: cannot be shown (" in run(clone, tmp_path / "summary.md", GITHUB_BASE_REF="")
    path.write_text(content, "utf-8")


def test_ci_calls_it_where_github_shows_it():
    script = (ROOT / ".ci/run").read_text("utf-8")
    assert re.search(r'^if \[ -n "\$\{GITHUB_STEP_SUMMARY:-\}" \]; then\n.*\n +python \.ci/summary\.py\n', script, re.M)
