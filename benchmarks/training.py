"""Time training, distillation and inference against PyTorch, scikit-learn and the matrix products alone.

Prints Markdown, and writes it beside its numbers, as benchmarks/results.md and benchmarks/results.json. A system that
is not installed or does not work is left out, and the output says so.
"""

import argparse
import json
from pathlib import Path

from benchmarks import compare, machine, report
from benchmarks.entries import WORKLOADS
from kdlib.io.artifacts import write_text

RESULTS = Path(__file__).resolve().parent / "results.json"
IDLE = 0.5  # load


def kept(path, here):
    """The workloads that the file has from before, if it is of this machine and these versions."""
    if not path.exists():
        return {}
    before = json.loads(path.read_text(encoding="utf-8"))
    same = all(before["machine"].get(key) == here[key] for key in here if key not in ("date", "load"))
    return before["workloads"] if same else {}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few steps of all, to see that it works; writes nothing")
    parser.add_argument("--rounds", type=int, help="how often each system is timed (default: 7)")
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), metavar="NAME",
                        help=f"these only, and keeps the others' results: {', '.join(WORKLOADS)}")  # fmt: skip
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="FILE",
                        help="the JSON; the Markdown goes beside it (default: benchmarks/results.json)")  # fmt: skip
    arguments = parser.parse_args()
    rounds = arguments.rounds or (2 if arguments.quick else 7)
    results = {"machine": machine.describe(), "workloads": {}}
    if not arguments.quick:
        results["workloads"] = kept(arguments.output, results["machine"])
    print("\n".join(report.header(results["machine"])), flush=True)
    if results["machine"]["load"] > IDLE:
        compare.log("warning: this machine is busy; systems with several threads suffer from that the most")
    for name in arguments.workloads:
        entries = list(WORKLOADS[name](arguments.quick, rounds))
        results["workloads"][name] = entries
        print("\n".join(line for entry in entries for line in report.section(entry)), flush=True)
        if not arguments.quick:
            # In the order of their making, which the tables keep: `write_json` would sort the keys.
            write_text(arguments.output, json.dumps(results, indent=1) + "\n")
            write_text(arguments.output.with_suffix(".md"), report.markdown(results, WORKLOADS))


if __name__ == "__main__":
    main()
