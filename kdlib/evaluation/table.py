"""The report as a table and verdicts to read."""

import math

from kdlib.evaluation.report import EVALUATED, NETWORKS


def sampling_error(accuracy, n):
    """Standard error of an accuracy that was measured on n independent examples, sqrt(p (1 - p) / n)."""
    return math.sqrt(accuracy * (1 - accuracy) / n)


def _cell(value, factor=1.0, digits=2):
    spread = f" ± {factor * value['std']:.{digits}f}" if "std" in value else ""
    return f"{factor * value['mean']:.{digits}f}{spread}"


VERDICTS = {
    ("accuracy", "higher"): "the student is better",
    ("accuracy", "lower"): "the student is worse",
    ("nll", "higher"): "the student is worse",
    ("nll", "lower"): "the student is better",
}


def table(result):
    """The result in Markdown, which reads as well on a terminal."""
    head = ("", *NETWORKS)
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
        ):
            cells = [result[n][split].get(key) for n in NETWORKS]
            if any(cells):
                rows.append((f"{split} {label}", *(_cell(c, factor, digits) if c else "" for c in cells)))
    for label, key in (("parameters", "parameters"), ("bytes", "bytes"), ("multiply-adds", "multiply_adds")):
        rows.append((label, *(f"{result[n][key]:,}" if key in result[n] else "" for n in NETWORKS)))
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [
        "| "
        + " | ".join([row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)])
        + " |"
        for row in (head, rule, *rows)
    ]
    lines.append("")
    for split in EVALUATED:
        for key, name, factor, unit, digits in (
            ("accuracy", "accuracy", 100, " points", 2),
            ("nll", "NLL", 1, " nats", 4),
        ):
            gain = result["gain"][split][key]
            verdict = VERDICTS.get((key, gain["verdict"]), gain["verdict"])
            error = f" ± {factor * gain['standard_error']:.{digits}f}" if "standard_error" in gain else ""
            mean = round(factor * gain["mean"], digits) + 0.0
            lines.append(f"{split} {name}, student - baseline: {mean:+.{digits}f}{error}{unit}: {verdict}")
    if "compression" in result:
        ratios = result["compression"]
        lines.append(
            f"compression: {ratios['parameters']:.1f} x fewer parameters,"
            f" {ratios['multiply_adds']:.1f} x fewer multiply-adds"
        )
    student = result["student"]["test"]["accuracy"]["mean"]
    error = 100 * sampling_error(student, result["examples"]["test"])
    lines.append("± in the table is the std, below it the standard error, over replicas on one split;")
    lines.append(f"{result['examples']['test']} test examples alone leave a standard error of {error:.2f} points")
    return "\n".join(lines)
