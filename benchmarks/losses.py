"""The losses of distillation beside each other: `python -m benchmarks.losses` writes benchmarks/losses.md.

Ten splits each of MNIST-1D, the digits and six real tables. Teacher and control are the same for all losses. Of each
loss every split chooses temperature, alpha and rate by validation, from the same lists; the control its rate. Gains are
those of the student over the control, by the corrected resampled t-test over the splits. MNIST-1D comes from its
package and the tables from the shared folder of data; what is not there is left out. --quick: a small run that writes
no file.
"""

import argparse
import contextlib
import gzip
import io
import sys
from pathlib import Path

from benchmarks import pipeline
from benchmarks.report import table
from benchmarks.workloads import ROOT
from benchmarks.worth import gained
from kdlib.evaluation.statistics import mean_and_std
from kdlib.pipeline.command_line import Paths
from kdlib.pipeline.params import load_params
from stages import distill, evaluate

OUTPUT = Path(__file__).with_name("losses.md")
TABLES_FOLDER = ROOT.parent / "shared" / "data" / "tables"
TABLES = "segment", "spambase", "phoneme", "splice", "credit_data", "lending_club"
LOSSES = "kd", "dkd", "mse", "wttm", "dist"
COMMON = ["replicas=1", "logging.level=ERROR", "distill.alpha=[0.5,0.9]", "prepare.max_samples=4000"]
FULL = [*COMMON, "prepare.splits=10"]
QUICK = [*COMMON, "prepare.splits=2", "prepare.max_samples=300", "teacher.epochs=1", "student.epochs=2"]
UNDEPLOYED = Paths(deployed="")
MEASURES = {"accuracy": ("points", 100, 2), "nll": ("nats", 1, 3)}  # {measure: (unit, factor, digits)}


def choice(loss):
    """Return the changes for a loss: no temperature changes mse."""
    temperatures = "[1]" if loss == "mse" else "[1,2,4]"
    return [f"distill.loss={loss}", f"distill.temperature={temperatures}"]


def sources(quick):
    """Yield (title, data, changes of params.yaml); data is None where they are not here."""
    yield "mnist1d", None if quick else pipeline.mnist1d(), [f"prepare.dataset={pipeline.OWN}"]
    yield "digits", "digits", ["prepare.dataset=digits"]
    for name in TABLES[:1] if quick else TABLES:
        path = TABLES_FOLDER / f"{name}.csv.gz"
        text = gzip.decompress(path.read_bytes()).decode() if path.is_file() else None
        yield name, text, [f"prepare.dataset={pipeline.TABLE}", "prepare.target=class"]


def reports(data, changes):
    """Return the report of `evaluate` of each loss."""
    found = {}
    with pipeline.experiment([*changes, *choice(LOSSES[0])], None if data == "digits" else data) as report:
        found[LOSSES[0]] = report
        for loss in LOSSES[1:]:
            params = load_params(ROOT / "params.yaml", [*changes, *choice(loss)])
            with contextlib.redirect_stdout(io.StringIO()):
                distill.main(params)
                found[loss] = evaluate.main(params, UNDEPLOYED)
    return found


def rows_of(title, found):
    """Return the cells of one source: a row for each measure."""
    rows = []
    for measure, (unit, factor, digits) in MEASURES.items():
        first = found[LOSSES[0]]
        levels = [f"{factor * first[name]['test'][measure]['mean']:.{digits}f}" for name in ("teacher", "baseline")]
        gains = [gained(found[loss]["gain"]["test"][measure], factor, digits) for loss in LOSSES]
        rows.append([f"{title}, {unit}", *levels, *gains])
    return rows


def summary(of_sources):
    """Return the cells of the mean gains over all sources, ± their standard error over these."""
    rows = []
    for measure, (unit, factor, digits) in MEASURES.items():
        gains = []
        for loss in LOSSES:
            spread = mean_and_std([factor * found[loss]["gain"]["test"][measure]["mean"] for found in of_sources])
            error = spread.get("std", 0) / len(of_sources) ** 0.5
            gains.append(f"{spread['mean']:+.{digits}f} ± {error:.{digits}f}")
        rows.append([f"mean of {len(of_sources)}, {unit}", "", "", *gains])
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small run that writes no file")
    quick = parser.parse_args().quick
    rows = []
    of_sources = []
    for title, data, changes in sources(quick):
        if data is None:
            print(f"{title}: left out, its data are not here", file=sys.stderr, flush=True)
            continue
        of_sources.append(reports(data, [*(QUICK if quick else FULL), *changes]))
        rows += rows_of(title, of_sources[-1])
        print(*(" | ".join(row) for row in rows[-2:]), sep="\n", file=sys.stderr, flush=True)
    head = ["data", "teacher", "control", *(f"{loss} - control" for loss in LOSSES)]
    text = "\n".join(table(head, rows + summary(of_sources))) + "\n"
    if not quick:
        OUTPUT.write_text(text, encoding="utf-8", newline="\n")
    print(text, end="")


if __name__ == "__main__":
    main()
