"""Counts of errors from the metrics of the stage evaluate, and how tables tell them."""

import json


def read(folder, name):
    """The content of metrics/NAME/details.json in `folder`."""
    return json.loads((folder / "metrics" / name / "details.json").read_text("utf-8"))


def errors(accuracy, examples):
    """Number of errors, as accuracy is given: {"mean", "std"}, std only of several replicas."""
    return {"mean": examples * (1 - accuracy["mean"])} | {k: examples * accuracy[k] for k in accuracy if k == "std"}


def cell(value, digits=0, factor=1.0):
    """A mean with so many digits, ± the std with one more of both where there is one."""
    spread = f" ± {factor * value['std']:.{digits + 1}f}" if "std" in value else ""
    return f"{factor * value['mean']:.{digits + bool(spread)}f}{spread}"


def markdown(lines):
    """Rows of cells as a table; an empty one parts two tables."""
    return "\n".join(f"| {' | '.join(line)} |" if line else "" for line in lines)
