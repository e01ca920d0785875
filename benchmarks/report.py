"""The results as Markdown: one table for each workload."""


def microseconds(value):
    """Three significant digits, in the unit that suits: µs, ms or s."""
    for unit, size in (("µs", 1), ("ms", 1e3), ("s", 1e6)):
        if value < 1000 * size or unit == "s":
            digits = max(0, 3 - len(str(int(value / size))))
            return f"{value / size:.{digits}f} {unit}"
    raise AssertionError


def table(header, rows):
    """Markdown lines. The first column is text, the others are numbers."""
    cells = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return ["| " + " | ".join(map(str, row)) + " |" for row in cells]


def _compared(entry):
    accuracy = entry.get("accuracy", {})
    rows = []
    for name, row in entry["systems"].items():
        cells = [name, microseconds(row["microseconds"]), f"{row['ratio']:.2f}", f"{row['low']:.2f}–{row['high']:.2f}"]
        if accuracy:
            cells.append(f"{100 * accuracy[name]:.1f} %" if name in accuracy else "")
        rows.append(cells)
    return table(["system", f"time per {entry['unit']}", "ratio", "range", *(["accuracy"] if accuracy else [])], rows)


def _memory(entry):
    rows = [
        [name, f"{row['baseline']:.0f}", f"{row['peak']:.0f}", f"{row['peak'] - row['baseline']:.0f}"]
        for name, row in entry["systems"].items()
    ]
    return table(["system", "imports and data, MiB", "peak, MiB", "training, MiB"], rows)


def _scaling(entry):
    """Rows by size, a column for each system."""
    names = list(next(iter(entry["sizes"].values())))
    rows = [
        [f"{int(size):,}", *(microseconds(row[name]) if name in row else "" for name in names)]
        for size, row in sorted(entry["sizes"].items(), key=lambda item: int(item[0]))
    ]
    return table([entry["by"], *(f"{name}, per {entry['unit']}" for name in names)], rows)


KINDS = {"compared": _compared, "memory": _memory, "scaling": _scaling}


def section(entry):
    """Markdown lines of one workload."""
    lines = [f"**{entry['title']}**", "", *KINDS[entry["kind"]](entry), ""]
    if entry["skipped"]:
        lines += ["Left out: " + "; ".join(f"{name} ({why})" for name, why in entry["skipped"].items()) + ".", ""]
    return lines


def header(machine):
    """Markdown lines: where and when, and how to read the tables."""
    names = ("numpy", "numba", "scikit-learn", "torch", "onnxruntime")
    versions = ", ".join(f"{name} {machine[name]}" for name in names if name in machine)
    return [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}; Python {machine['python']}, {versions};"
        f" NumPy's BLAS: {machine['blas']}; unset for the benchmark: {machine['unset']}; load before it:"
        f" {machine['load']}; {machine['date']}.",
        "Systems take turns; a ratio is a system's time over the first one's in the same round (above 1: slower),"
        " the median of the rounds and their range.",
        "",
    ]


def markdown(results, order):
    """order: names of workloads, as they shall follow one another."""
    lines = ["<!-- written by python -m benchmarks.training -->", "", *header(results["machine"])]
    for name in order:
        for entry in results["workloads"].get(name, ()):
            lines += section(entry)
    return "\n".join(lines).rstrip("\n") + "\n"
