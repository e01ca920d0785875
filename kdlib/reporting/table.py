"""The report as a table and sentences to read."""

from collections.abc import Sequence

from kdlib.evaluation.heldout import EVALUATED, NETWORKS
from kdlib.evaluation.intervals import wilson_interval
from kdlib.evaluation.statistics import EQUAL


def _cell(value, factor=1.0, digits=2):
    spread = f" ± {factor * value['std']:.{digits}f}" if "std" in value else ""
    return f"{factor * value['mean']:.{digits}f}{spread}"


# Of each measure the name, the factor to its unit, the unit, and the decimals.
GAINS = {"accuracy": ("accuracy", 100, " points", 2), "nll": ("NLL", 1, " nats", 4)}


def gain_line(result: dict, split: str, key: str, pair: Sequence[str] = ("student", "baseline")) -> str:
    """Return a line with the gain of one network over another, its standard error, and the verdict in words.

    Parameters
    ----------
    result : dict
        Of `kdlib.reporting.report.report`, or its part `quantized`.
    split : str
        The subset, `validation` or `test`.
    key : str
        Of GAINS.
    pair : sequence of two str, optional
        Names of the networks.
    """
    name, factor, unit, digits = GAINS[key]
    gain = result["gain"][split][key]
    verdict = f"the {pair[0]} is {gain['verdict']}" if gain["verdict"] in ("better", "worse") else gain["verdict"]
    equal = gain["verdict"] == EQUAL  # then the standard error is left out: 0 would look like certainty
    error = f" ± {factor * gain['standard_error']:.{digits}f}" if "standard_error" in gain and not equal else ""
    verdict += "; NLL has finer steps" if equal and key == "accuracy" and "nll" in result["gain"][split] else ""
    mean = round(factor * gain["mean"], digits) + 0.0
    return f"{split} {name}, {pair[0]} - {pair[1]}: {mean:+.{digits}f}{error}{unit}: {verdict}"


def table(result: dict) -> str:
    """Format the report of `kdlib.reporting.report.report` in Markdown, readable on a terminal too."""
    quantized = result.get("quantized")
    columns = [result[name] for name in NETWORKS] + [quantized] * bool(quantized)
    head = ("", *NETWORKS, *([f"int{quantized['bits']}"] if quantized else []))
    rows = []
    for split in EVALUATED:
        for label, key, factor, digits in (
            ("accuracy %", "accuracy", 100, 2),
            ("accuracy on absent classes %", "accuracy_absent", 100, 2),
            ("accuracy, biases shifted %", "accuracy_shifted", 100, 2),
            ("… on absent classes %", "accuracy_absent_shifted", 100, 2),
            ("NLL, nats", "nll", 1, 4),
            ("calibration error %", "ece", 100, 2),
            ("Brier score", "brier", 1, 4),
            ("agrees with teacher %", "agreement", 100, 2),
            ("KL from teacher, nats", "kl", 1, 4),
            ("agrees with student %", "agreement_student", 100, 2),
        ):
            cells = [column[split].get(key) for column in columns]
            if any(cells):
                rows.append((f"{split} {label}", *(_cell(c, factor, digits) if c else "" for c in cells)))
    for label in ("parameters", "bytes", "bytes on disk", "multiply-adds"):
        cells = [column.get(label.replace("-", "_").replace(" ", "_")) for column in columns]
        if any(cells):
            rows.append((label, *(f"{cell:,}" if cell else "" for cell in cells)))
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [
        "| "
        + " | ".join([row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)])
        + " |"
        for row in (head, rule, *rows)
    ]
    lines.append("")
    lines += [gain_line(result, split, key) for split in EVALUATED for key in GAINS]
    if quantized:
        lines += [gain_line(quantized, split, "accuracy", (head[-1], "student")) for split in EVALUATED]
    if "compression" in result:
        ratios = {k: v for k, v in result["compression"].items() if k != "bytes" or "model" in result["teacher"]}
        lines.append(
            "compression: " + ", ".join(f"{v:.1f} x fewer {k.replace('_', '-')}" for k, v in sorted(ratios.items()))
        )
    n = result["examples"]["test"]
    splits = result["splits"]
    over = f"over {splits} splits, by the corrected resampled t-test" if splits > 1 else "over replicas on one split"
    lines.append(f"± in the table is the std, below it the standard error, {over};")
    low, high = wilson_interval(result["student"]["test"]["accuracy"]["mean"] * n, n)
    interval = f"from {100 * low:.2f} to {100 * high:.2f} %"
    lines.append(f"{n:,} test examples alone leave the student's accuracy a 95 % interval {interval}")
    if "model" in result["teacher"]:
        lines.append(f"teacher: {result['teacher']['model']}; the promise of same bytes begins at its logits")
    if result["teacher"].get("one_for_all"):
        lines.append(
            "note: one teacher's answers for all splits; if it was fitted on rows that a split tests on, the accuracies"
            " of teacher and student there are too high"
        )
    collapsed = result.get("collapsed", {})
    for name in filter(collapsed.get, NETWORKS):
        lines.append(f"warning: the {name} {collapsed[name]['reason']}; {collapsed[name]['advice']}")
    return "\n".join(lines)
