"""Fills the generated parts of the READMEs: `python tests/readme.py`, after what they come from has run."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import report

ROOT = Path(__file__).parents[1]
README, EXPERIMENT = ROOT / "README.md", ROOT / "experiments/hinton2015"


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


SYSTEMS = {
    "kdlib exact": "exact",
    "scikit-learn": "scikit-learn",
    "PyTorch eager": "PyTorch",
    "PyTorch compiled": "PyTorch compiled",
    "products alone, float32": "products, float32",
    "products alone, float64": "products, float64",
}


def benchmark():
    """The training workloads of benchmarks/results.json, one a row; benchmarks/results.md has all of them."""
    results = json.loads((ROOT / "benchmarks/results.json").read_text("utf-8"))
    head = ["network, batch, data, optimizer", "kdlib fast", *SYSTEMS.values()]
    lines = [*report.header(results["machine"]), *report.table(head, [])]
    for name in ("small", "medium", "large"):
        for entry in results["workloads"][name]:
            systems = entry["systems"]
            ratios = [f"{systems[s]['ratio']:.2f}" if s in systems else "" for s in SYSTEMS]
            time = report.microseconds(next(iter(systems.values()))["microseconds"])
            lines.append(report.table([entry["title"], time, *ratios], [])[0])
    return "\n".join(lines)


def paper():
    """The experiment's script, which has its table, and the content of its metrics.json and rows.yaml."""
    spec = importlib.util.spec_from_file_location("table", EXPERIMENT / "table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    result = json.loads((EXPERIMENT / "metrics.json").read_text("utf-8"))
    return module, result, yaml.safe_load((EXPERIMENT / "rows.yaml").read_text("utf-8"))


def paper_errors():
    module, result, rows = paper()
    return module.markdown(result, rows)


def times():
    """Minutes by stage, the rows of a stage together, from the experiment's times.json."""
    measured = json.loads((EXPERIMENT / "times.json").read_text("utf-8"))
    seconds = {}
    for name, value in measured["stages"].items():
        seconds.setdefault(name.split("@")[0], []).append(value)
    seconds["all"] = list(measured["stages"].values())
    rows = [[name, len(values), f"{sum(values) / 60:.1f}"] for name, values in seconds.items()]
    peak = f"Largest memory of a process: {measured['peak_bytes'] / 1e9:.1f} GB."
    lines = [report.header(measured["machine"])[0], "", *report.table(["stage", "runs", "minutes"], rows), "", peak]
    return "\n".join(lines)


PARTS = {
    README: {
        "table: metrics/metrics.json": lambda: table(json.loads((ROOT / "metrics/metrics.json").read_text("utf-8"))),
        "few": few_labels,
        "parameters: params.yaml": parameters,
        "matrix": lambda: (ROOT / "tests/reproducibility/results.md").read_text("utf-8").strip(),
        "profile": lambda: (ROOT / "benchmarks/profile.md").read_text("utf-8").strip(),
        "accuracy": lambda: (ROOT / "benchmarks/accuracy.md").read_text("utf-8").strip(),
        "benchmark": benchmark,
    },
    EXPERIMENT / "README.md": {"errors": paper_errors, "times": times},
}


def filled(path):
    """The text of the README at `path` with every generated part as it is now."""
    text = path.read_text(encoding="utf-8")
    for name, part in PARTS[path].items():
        end = f"<!-- end of {name.split(':')[0]} -->"
        head, rest = text.split(f"<!-- {name} -->\n")
        text = f"{head}<!-- {name} -->\n{part()}\n{end}{rest.split(end, 1)[1]}"
    return text


if __name__ == "__main__":
    for path in PARTS:
        path.write_text(filled(path), encoding="utf-8", newline="\n")
