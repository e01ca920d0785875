"""Write the generated parts of README.md, docs/, the experiments' texts and params.yaml: `python docs/generate.py`.

What they come from, the pipeline, the benchmarks and the experiments, has to have run before.
"""

import ast
import csv
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
import kdlib
from benchmarks import report
from kdlib.pipeline.field_types import Section
from kdlib.pipeline.schema import Params

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PARAMS = ROOT / "params.yaml"
README, PAPER, BEYOND = ROOT / "README.md", ROOT / "experiments/hinton2015", ROOT / "experiments/beyond"


def table(result):
    from kdlib.reporting.table import format_report

    return f"```\n{format_report(result)}\n```"


# Rows of the full table that the README shows, by their labels there, and the labels that they have here.
SHORT_ROWS = {
    "test accuracy %": "test accuracy, %",
    "test NLL, nats": "test NLL, nats",
    "test calibration error %": "test calibration error, %",
    "test agrees with teacher %": "predicts the same class as the teacher, %",
    "parameters": "parameters",
    "bytes": "bytes of parameters",
    "multiply-adds": "multiply-adds for one row",
}


def short_table(result):
    """Eight rows of the table: seven of the full one, and the student's gain in accuracy with its 95 % interval."""
    from kdlib.reporting.table import column_names, table_rows

    rows = {label: cells for label, *cells in table_rows(result, ["test"])}
    lines = [[name, *rows[label]] for label, name in SHORT_ROWS.items()]
    gain = result["gain"]["test"]["accuracy"]
    interval = f"{100 * gain['low']:+.2f} to {100 * gain['high']:+.2f}"
    columns = column_names(result)
    cells = {"student": f"**{100 * gain['mean']:+.2f}** ({interval})"}
    lines.insert(1, ["gain over the baseline, points (95 % interval)", *(cells.get(name, "") for name in columns[1:])])
    return "\n".join(report.table(columns, lines))


def read(path):
    """A table that a benchmark or a script has written."""
    return (ROOT / path).read_text("utf-8").strip()


def short_worth():
    """Accuracies and gain of some cases of benchmarks/worth.md."""
    cases = {"mnist1d", "digits", "digits, a fifth of the labels", "wine", "breast_cancer"}
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in read("benchmarks/worth.md").splitlines()]
    head, _, *others = (row[:5] for row in rows)
    return "\n".join(report.table(head, [row for row in others if row[0] in cases]))


def printed(**sections):
    """What a run prints with these values, section={key: value}, in place of those of params.yaml."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for section, values in sections.items():
        params[section] |= values
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        command = [sys.executable, "-m", "stages"]
        run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True, encoding="utf-8")
    return run.stdout.strip()


def few_labels():
    return f"```\n{printed(prepare={'labeled_fraction': 0.15}, teacher={'epochs': 100})}\n```"


def unseen_class():
    """The lines on the test subset."""
    lines = printed(prepare={"transfer_classes": list("012456789")}).splitlines()
    kept = [
        line for line in lines if line.startswith(("|  ", "| --", "| test accuracy", "| test … on absent", "test acc"))
    ]
    return "```\n" + "\n".join(kept) + "\n```"


def described(section, key):
    """The description of a key, from the class of its section or from that class's base."""
    kinds = [kind for kind in section.__mro__ if key in getattr(kind, "model_fields", ())]
    return next((kind.model_fields[key].description for kind in kinds if kind.model_fields[key].description), "")


def parameters():
    """Rows of key, default and meaning of all parameters."""
    rows = []
    for name, field in Params.model_fields.items():
        if isinstance(field.default, Section):
            section = type(field.default)
            for key, value in field.default.model_dump().items():
                value = value[0] if isinstance(value, list) and len(value) == 1 and key != "hidden" else value
                rows.append((f"{name}.{key}", value, described(section, key)))
        else:
            rows.append((name, field.default, field.description))
    head = ["| key | default | meaning |", "| --- | --- | --- |"]
    return "\n".join(
        [*head, *(f"| `{key}` | {json.dumps(value).strip(chr(34))} | {text} |" for key, value, text in rows)]
    )


def commented(text):
    """The text of params.yaml with the descriptions as its comments, in the columns where comments are."""
    section = Params
    column = 0
    lines = []
    for line in text.splitlines():
        if found := re.match(r"( *)(\w+):", line):
            indent, key = found.groups()
            code, mark, _ = line.partition(" # ")
            code = code.rstrip()
            column = line.index(" # ") + 1 if mark else column  # else as in the line above
            comment = described(section if indent else Params, key)
            line = f"{f'{code}  ':<{column}}# {comment}" if comment else code
            if not indent and isinstance(Params.model_fields[key].default, Section):
                section = type(Params.model_fields[key].default)
        lines.append(f"{line}\n")
    return "".join(lines)


def file_names(paths):
    """Names of the files in one line; more than three of one ending as their number."""
    by_ending = {}
    for path in map(Path, paths):
        by_ending.setdefault(path.suffix, []).append(path.name)
    groups = by_ending.items()
    return ", ".join(f"{len(of)} {ending[1:].upper()}" if len(of) > 3 else ", ".join(of) for ending, of in groups)


def diagram():
    """The stages of dvc.yaml, with the files that one writes and others read on the arrows, in Mermaid's language."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"]
    lines = ["```mermaid", "flowchart LR"]
    for stage, entry in stages.items():
        by_readers = {}
        for output in [path for kind in ("outs", "metrics", "plots") for path in entry.get(kind, [])]:
            path = output if isinstance(output, str) else next(iter(output))
            readers = [name for name, other in stages.items() if path in other["deps"]]
            by_readers.setdefault(" & ".join(readers), []).append(path)
        for readers, paths in by_readers.items():
            arrow = f"-->|{file_names(paths)}| {readers}" if readers else f"--> files_of_{stage}[{file_names(paths)}]"
            lines.append(f"  {stage} {arrow}")
    return "\n".join([*lines, "```"])


SYSTEMS = {
    "kdlib exact": "exact",
    "kdlib fast, numba": "fast, numba",
    "kdlib exact, numba": "exact, numba",
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


def experiment(folder):
    """The script in the folder that has its table, and the content of metrics.json and rows.yaml there."""
    spec = importlib.util.spec_from_file_location(f"table_of_{folder.name}", folder / "table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    result = json.loads((folder / "metrics.json").read_text("utf-8"))
    return module, result, yaml.safe_load((folder / "rows.yaml").read_text("utf-8"))


def errors(folder):
    module, result, rows = experiment(folder)
    return module.table(result, rows)


def times(folder):
    """Minutes by stage, the rows of a stage together, from the experiment's times.json."""
    measured = json.loads((folder / "times.json").read_text("utf-8"))
    seconds = {}
    for name, value in measured["stages"].items():
        seconds.setdefault(name.split("@")[0], []).append(value)
    seconds["all"] = list(measured["stages"].values())
    rows = [[name, len(values), f"{sum(values) / 60:.1f}"] for name, values in seconds.items()]
    peak = f"Largest memory of a process: {measured['peak_bytes'] / 1e9:.1f} GB."
    lines = [report.header(measured["machine"])[0], "", *report.table(["stage", "runs", "minutes"], rows), "", peak]
    return "\n".join(lines)


def search():
    """What search.py tried."""
    with (PAPER / "search.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = []
    for row in rows:
        spread = f" ± {row['std']}" if row["std"] else ""
        settings = row["settings"].replace("teacher.", "").replace("student.", "")
        lines.append([row["name"], row["stage"], f"`{settings}`", row["networks"], row["errors"] + spread, row["nll"]])
    head = ["name", "stage", "settings", "networks", "errors of 5,000", "NLL, nats"]
    return "\n".join(report.table(head, lines))


def signature(node):
    """Of a function or a class, as it is written but for the defaults' layout, without `self` and types."""
    if isinstance(node, ast.ClassDef):
        init = next((item for item in node.body if getattr(item, "name", "") == "__init__"), None)
        if init is None:
            fields = [item for item in node.body if isinstance(item, ast.AnnAssign)]
            fields = [f for f in fields if not (f.value and "init=False" in ast.unparse(f.value))]
            plain = [f"{f.target.id}={ast.unparse(f.value)}" if f.value else f.target.id for f in fields]
            return f"{node.name}({', '.join(plain)})"
        node.body, arguments = [*node.body], init.args
    else:
        arguments = node.args
    for argument in [*arguments.args, *arguments.kwonlyargs]:
        argument.annotation = None
    return f"{node.name}({re.sub('^(self|cls)(, )?', '', ast.unparse(arguments))})"


def markdown(docstring):
    """A docstring in numpydoc as Markdown: sections in bold, entries as items, examples as code."""
    lines = []
    section = ""
    given = docstring.split("\n")
    for line, below in zip(given, [*given[1:], ""], strict=True):
        if re.fullmatch("-+", below) and line:
            section = line
            lines += [f"**{line}**", ""]
        elif section in ("Parameters", "Returns", "Yields", "Raises", "Attributes") and line and line[0] != " ":
            if not re.fullmatch("-+", line):
                lines.append(f"- `{line}`")
        elif not re.fullmatch("-+", line):
            lines.append(f"    {line}" if section == "Examples" and line else line)
    return "\n".join(lines).strip()


def public(name):
    """The node of a public name of kdlib, a function, class or module, in the syntax tree of its module."""
    path = ROOT / f"{kdlib._PLACES[name].replace('.', '/')}.py"
    module = ast.parse(path.read_text("utf-8"))
    found = [node for node in module.body if getattr(node, "name", "") == name]
    return found[0] if found else module


def summary(node):
    return (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ")


def members(node):
    """One item for each public function of a module, or method of a class, that has a docstring of its own."""
    functions = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name[0] != "_"]
    owner = "." if isinstance(node, ast.ClassDef) else ""
    return [f"- `{owner}{signature(item)}`: {summary(item)}" for item in functions if summary(item)]


def api():
    """The names of `kdlib.__all__`, with their docstrings."""
    lines = [kdlib.__doc__.strip()]
    for name in kdlib.__all__:
        if name in kdlib._PLACES:
            node = public(name)
            title = name if isinstance(node, ast.Module) else signature(node)
            lines += ["", f"## {name}", "", f"    kdlib.{title}", "", markdown(ast.get_docstring(node))]
            below = members(node) if isinstance(node, ast.ClassDef | ast.Module) else []
            lines += ["", *below] if below else []
    return "\n".join(lines).rstrip()


PARTS = {
    README: {
        "results: metrics/details.json": lambda: short_table(json.loads(read("metrics/details.json"))),
        "helps: benchmarks/worth.md": short_worth,
        "diagram: dvc.yaml": diagram,
    },
    DOCS / "results.md": {"table: metrics/details.json": lambda: table(json.loads(read("metrics/details.json")))},
    DOCS / "data.md": {"unseen": unseen_class},
    DOCS / "few_labels.md": {"few": few_labels},
    DOCS / "sweeps.md": {"sweep": lambda: read("benchmarks/sweep.md")},
    DOCS / "deployment.md": {
        "levels": lambda: read("benchmarks/levels.md"),
        "integers": lambda: read("tests/reproducibility/integers.md"),
        "deployment": lambda: read("benchmarks/deployment.md"),
    },
    DOCS / "evidence.md": {
        "worth": lambda: read("benchmarks/worth.md"),
        "teachers": lambda: read("benchmarks/teachers.md"),
        "defaults": lambda: read("benchmarks/defaults.md"),
    },
    DOCS / "reproducibility.md": {"matrix": lambda: read("tests/reproducibility/results.md")},
    DOCS / "method.md": {"null": lambda: read("benchmarks/null.md")},
    DOCS / "distributed.md": {"ranks": lambda: read("benchmarks/ranks.md")},
    DOCS / "benchmarks.md": {
        "accuracy": lambda: read("benchmarks/accuracy.md"),
        "benchmark": benchmark,
        "profile": lambda: read("benchmarks/profile.md"),
    },
    DOCS / "security.md": {"fuzz": lambda: read("tests/fuzz/results.md")},
    DOCS / "parameters.md": {"parameters": parameters},
    DOCS / "api.md": {"api": api},
    PAPER / "README.md": {"errors": lambda: errors(PAPER), "search": search, "times": lambda: times(PAPER)},
    BEYOND / "README.md": {"errors": lambda: errors(BEYOND), "times": lambda: times(BEYOND)},
}


def written(path, name, part=None):
    """The generated part `name` of the text at `path`; the whole text with `part` in its place, if that is given."""
    head, rest = path.read_text(encoding="utf-8").split(f"<!-- {name} -->\n")
    found, tail = rest.split(f"\n<!-- end of {name.split(':')[0]} -->", 1)
    return found if part is None else f"{head}<!-- {name} -->\n{part}\n<!-- end of {name.split(':')[0]} -->{tail}"


if __name__ == "__main__":
    PARAMS.write_text(commented(PARAMS.read_text("utf-8")), encoding="utf-8", newline="\n")
    for path, parts in PARTS.items():
        for name, part in parts.items():
            path.write_text(written(path, name, part()), encoding="utf-8", newline="\n")
