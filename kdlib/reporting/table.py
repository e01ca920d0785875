"""The report as rows of a table and sentences, and both as Markdown."""

from collections.abc import Sequence

from kdlib.evaluation.heldout import EVALUATED, NETWORKS
from kdlib.evaluation.intervals import wilson_interval
from kdlib.evaluation.metrics import METRICS
from kdlib.evaluation.statistics import ALL_EQUAL

UNDEFINED = "–"  # a measure that needs examples of several classes


def _cell(value, factor=1.0, digits=2):
    if value["mean"] is None:
        return UNDEFINED
    spread = f" ± {factor * value['std']:.{digits}f}" if "std" in value else ""
    return f"{factor * value['mean']:.{digits}f}{spread}"


def _label(metric):
    return f"{metric.name}{', ' * (metric.unit == 'nats')}{' ' * (metric.unit == '%')}{metric.unit}"


_FIRST, *_OTHERS = ((_label(metric), key, metric.factor, metric.decimals) for key, metric in METRICS.items())
# Label, key, factor to the unit, and decimals of each measure.
MEASURE_FORMATS = (
    _FIRST,
    ("accuracy on absent classes %", "accuracy_absent", 100, 2),
    ("accuracy, biases shifted %", "accuracy_shifted", 100, 2),
    ("… on absent classes %", "accuracy_absent_shifted", 100, 2),
    *_OTHERS,
    ("agrees with teacher %", "agreement", 100, 2),
    ("KL from teacher, nats", "kl", 1, 4),
    ("agrees with student %", "agreement_student", 100, 2),
)
SIZE_LABELS = ("parameters", "bytes", "bytes on disk", "multiply-adds")
GAIN_UNITS = {"%": " points", "nats": " nats", "": ""}


def gain_line(result: dict, subset: str, key: str, pair: Sequence[str] = ("student", "baseline")) -> str:
    """Return a line with the gain of one network over another, its standard error and interval, and the verdict.

    Parameters
    ----------
    result : dict
        The report of `kdlib.reporting.report.build_report`, or its part `quantized`.
    subset : str
        `validation` or `test`.
    key : str
        A key of `kdlib.evaluation.metrics.METRICS` of which the report has the gain.
    pair : sequence of two str, optional
        Names of the networks.
    """
    metric = METRICS[key]
    gain = result["gain"][subset][key]
    verdict = f"the {pair[0]} is {gain['verdict']}" if gain["verdict"] in ("better", "worse") else gain["verdict"]
    title = f"{subset} {metric.name}, {pair[0]} - {pair[1]}"
    if gain["mean"] is None:
        return f"{title}: {UNDEFINED}: {verdict}"
    equal = gain["verdict"] == ALL_EQUAL
    verdict += "; NLL has finer steps" if equal and key == "accuracy" and "nll" in result["gain"][subset] else ""

    def signed(value):
        return f"{round(metric.factor * value, metric.decimals) + 0.0:+.{metric.decimals}f}"

    error = interval = ""
    if "standard_error" in gain and not equal:  # an error of 0 would look like certainty
        error = f" ± {metric.factor * gain['standard_error']:.{metric.decimals}f}"
        interval = f" (95 % interval {signed(gain['low'])} to {signed(gain['high'])})"
    return f"{title}: {signed(gain['mean'])}{error}{GAIN_UNITS[metric.unit]}{interval}: {verdict}"


def calibration_line(result: dict, subset: str) -> str:
    """Return a line with the temperature of the calibrated student, and with what it changes.

    Parameters
    ----------
    result : dict
        The report of `kdlib.reporting.report.build_report`, of a calibrated student.
    subset : str
        `validation` or `test`.
    """
    before = result["student"][subset]
    after = result["calibrated"][subset]
    nll = f"{before['nll']['mean']:.4f} -> {after['nll']['mean']:.4f} nats"
    error = f"{100 * before['ece']['mean']:.2f} -> {100 * after['ece']['mean']:.2f} %"
    temperature = _cell(result["calibrated"]["temperature"])
    return f"{subset}, student -> calibrated, logits / {temperature}: NLL {nll}, calibration error {error}"


def column_names(result: dict) -> tuple[str, ...]:
    """Return the names of the table's columns; the first one, of the labels, is empty."""
    quantized = result.get("quantized")
    calibrated = ["calibrated"] if "calibrated" in result else []
    return ("", *NETWORKS, *calibrated, *([f"int{quantized['bits']}"] if quantized else []))


def table_rows(result: dict, subsets: Sequence[str] = EVALUATED) -> list[tuple[str, ...]]:
    """Return the rows of the table: a label and one cell of text for each network.

    Parameters
    ----------
    result : dict
        The report of `kdlib.reporting.report.build_report`.
    subsets : sequence of str, optional
        Whose measures to show, of `validation` and `test`. The sizes of the networks follow them.
    """
    names = (*NETWORKS, "calibrated", "quantized")
    networks = [result[name] for name in names if name in result]
    found = []
    for subset in subsets:
        for label, key, factor, digits in MEASURE_FORMATS:
            values = [network[subset].get(key) for network in networks]
            if any(values):
                found.append((f"{subset} {label}", *(_cell(v, factor, digits) if v else "" for v in values)))
    for label in SIZE_LABELS:
        sizes = [network.get(label.replace("-", "_").replace(" ", "_")) for network in networks]
        if any(sizes):
            found.append((label, *(f"{size:,}" if size else "" for size in sizes)))
    return found


def sentences(result: dict, subsets: Sequence[str] = EVALUATED) -> list[str]:
    """Return the lines below the table: gains, compression, how to read it, notes and warnings.

    A long sentence has a line break.

    Parameters
    ----------
    result : dict
        The report of `kdlib.reporting.report.build_report`.
    subsets : sequence of str, optional
        Whose gains are printed: `validation`, `test` or both.
    """
    quantized = result.get("quantized")
    lines = [gain_line(result, subset, key) for subset in subsets for key in METRICS if key in result["gain"][subset]]
    lines += [calibration_line(result, subset) for subset in subsets if "calibrated" in result]
    if quantized:
        pair = (column_names(result)[-1], "student")
        gains = quantized["gain"]
        lines += [gain_line(quantized, of, key, pair) for of in subsets for key in METRICS if key in gains[of]]
    if "compression" in result:
        ratios = {k: v for k, v in result["compression"].items() if k != "bytes" or "model" in result["teacher"]}
        lines.append(
            "compression: " + ", ".join(f"{v:.1f} x fewer {k.replace('_', '-')}" for k, v in sorted(ratios.items()))
        )
    n = result["examples"]["test"]
    splits = result["splits"]
    over = f"over {splits} splits, by the corrected resampled t-test" if splits > 1 else "over replicas on one split"
    low, high = wilson_interval(result["student"]["test"]["accuracy"]["mean"] * n, n)
    interval = f"from {100 * low:.2f} to {100 * high:.2f} %"
    lines.append(
        f"± in the table is the std, below it the standard error, {over};\n"
        f"{n:,} test examples alone leave the student's accuracy a 95 % interval {interval}"
    )
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
    return lines


def format_report(result: dict) -> str:
    """Format the report of `kdlib.reporting.report.build_report` in Markdown, readable on a terminal too."""
    cells = [column_names(result), *table_rows(result)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ("-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])))
    lines = []
    for label, *values in cells:
        aligned = [value.rjust(width) for value, width in zip(values, widths[1:], strict=True)]
        lines.append(f"| {' | '.join([label.ljust(widths[0]), *aligned])} |")
    return "\n".join([*lines, "", *sentences(result)])
