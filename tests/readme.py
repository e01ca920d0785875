"""Fills the generated parts of the README: `python tests/readme.py`, after what they come from has run."""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def table(result):
    from kdlib import report

    return f"```\n{report.table(result)}\n```"


def few_labels():
    """What a run with one label in ten prints."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["prepare"]["labeled_fraction"], params["teacher"]["epochs"] = 0.1, 100
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        command = [sys.executable, "-m", "stages"]
        run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True, encoding="utf-8")
    return f"```\n{run.stdout.strip()}\n```"


def parameters():
    """Rows of key, default and comment, from params.yaml."""
    rows, section = [], ""
    for line in (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines():
        match = re.match(r"( *)(\w+): *([^#]*?) *(?:# (.*))?$", line)
        if not match:
            continue
        indent, key, value, comment = match.groups()
        if not indent:
            section = "" if value else f"{key}."
        if value:
            rows.append(f"| `{section * bool(indent)}{key}` | {value} | {comment or 'as the teacher’s'} |")
    return "\n".join(rows)


def filled(text):
    """The README's text with every generated part as it is now."""
    parts = {
        "table: metrics/metrics.json": lambda: table(json.loads((ROOT / "metrics/metrics.json").read_text("utf-8"))),
        "few": few_labels,
        "parameters: params.yaml": parameters,
        "matrix": lambda: (ROOT / "tests/reproducibility/results.md").read_text("utf-8").strip(),
        "accuracy": lambda: (ROOT / "benchmarks/accuracy.md").read_text("utf-8").strip(),
        "benchmark": lambda: (ROOT / "benchmarks/results.md").read_text("utf-8").strip(),
    }
    for name, part in parts.items():
        end = f"<!-- end of {name.split(':')[0]} -->"
        head, rest = text.split(f"<!-- {name} -->\n")
        text = f"{head}<!-- {name} -->\n{part()}\n{end}{rest.split(end, 1)[1]}"
    return text


if __name__ == "__main__":
    README.write_text(filled(README.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
