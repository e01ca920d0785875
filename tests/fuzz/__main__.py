"""Attacks the stages for so many minutes and prints what was tried, what passed, and how to see each failure again."""

import argparse
import math
import os
import sys
import time

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy: its threads die in a fork

if not hasattr(os, "fork"):
    print("python -m tests.fuzz needs a system that forks: nothing was tried")
    sys.exit(0)

from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from itertools import count, islice
from multiprocessing import get_context

from tests.fuzz.entries import ENTRIES
from tests.fuzz.forks import numbered
from tests.fuzz.ground import Ground
from tests.fuzz.kills import KILLS

ALL = ENTRIES | KILLS
SHARES = {name: 3 for name in KILLS}
GROUND = None


def attack(name, index, seed):
    """(name, index, what is wrong or None, whether it was refused, what the stage said)."""
    try:
        fault, ending = ALL[name].fault(GROUND, numbered(seed, name, index))
    except Exception as error:
        return name, index, f"the attack itself failed: {type(error).__name__}: {error}", False, ""
    return name, index, fault, ending.code == 1, ending.err


def attacks(names, seed, laps):
    """Lap after lap, without end if `laps` is None."""
    for lap in count() if laps is None else range(laps):
        for name in names:
            share = SHARES.get(name, 1)
            for index in range(lap * share, (lap + 1) * share):
                yield name, index, seed


def results(left, seconds, jobs):
    """What `attack` returns for what is `left`, of as many as begin in time."""
    end = time.monotonic() + seconds
    with ProcessPoolExecutor(jobs, mp_context=get_context("fork")) as pool:
        pending = {pool.submit(attack, *case) for case in islice(left, 2 * jobs)}
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
                if time.monotonic() < end:
                    pending |= {pool.submit(attack, *case) for case in islice(left, 1)}


def table(found):
    """A row for each kind of what is attacked. found: {attack: {index: (what is wrong or None, whether refused)}}."""
    lines = [
        "| what is attacked | tried | passed | of these refused | failures |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    kinds = {}
    for name, cases in found.items():
        kinds.setdefault(name.partition(": ")[0], []).extend((name, *case) for case in sorted(cases.items()))
    kinds["all"] = [case for of_kind in kinds.values() for case in of_kind]
    for kind, cases in kinds.items():
        failed = [f"{name} {index}: {fault}" for name, index, (fault, _) in cases if fault]
        refused = sum(no and not fault for _, _, (fault, no) in cases)
        counts = " | ".join(f"{n:,}" for n in (len(cases), len(cases) - len(failed), refused))
        lines.append(f"| {kind} | {counts} | {'; '.join(failed[:3] if kind != 'all' else ())} |")
    return "\n".join(lines)


def main():
    global GROUND
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--laps", type=int, help="so many rounds at most, however long they take")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--only", metavar="WORD", default="", help="the attacks with this in their name")
    parser.add_argument("--case", type=int, help="this one of them, with all that it said")
    arguments = parser.parse_args()
    names = [name for name in ALL if arguments.only in name]
    GROUND = Ground()
    try:
        if arguments.case is not None:
            for name in names:
                _, _, fault, _, said = attack(name, arguments.case, arguments.seed)
                print(f"{name}, {arguments.case}: {fault or 'passed'}\n{said}")
            return
        found = {name: {} for name in names}
        left = attacks(names, arguments.seed, arguments.laps)
        seconds = 60 * arguments.minutes if arguments.laps is None else math.inf
        for name, index, fault, refused, said in results(left, seconds, arguments.jobs):
            found[name][index] = fault, refused
            if fault:
                again = f"--seed {arguments.seed} --only {name!r} --case {index}"
                print(f"{name}: {fault}; {again}\n{said[-2000:]}", file=sys.stderr, flush=True)
    finally:
        GROUND.remove()
    print(f"`python -m tests.fuzz {' '.join(sys.argv[1:])}`:\n\n{table(found)}")
    sys.exit(any(fault for cases in found.values() for fault, _ in cases.values()))


if __name__ == "__main__":
    main()
