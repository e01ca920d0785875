"""What counts as passing, for every attack.

A stage whose input was attacked ends within SECONDS, waiting for a processor not counted, and MEMORY beyond what its
libraries take, and then it either
- has the right result: exit code 0, the outputs that it declares and no other file changed; where the attack can have
  made no other valid file, these outputs are those of the file before the attack, to the last bit; or
- refuses: exit code 1, one line on stderr that begins with `error: ` and has less than LINE characters, and no file
  changed but its checkpoint.
Above that line stderr may have lines of the log, and nothing else. That it ran out of memory is no refusal.

After a kill each output is as it was before or as it is after a whole run: of FOLDERS all files, or none is there.
After the next run all are as after a whole run, and no other file is there. Of two runs at once those that end with 0
leave the files of the last of them, whole, and one that does not, refuses.
"""

import re
from dataclasses import dataclass

SECONDS, MEMORY, LINE = 20, 1 << 30, 300
LOGGED = re.compile(r"\d\d:\d\d:\d\d (DEBUG|INFO|WARNING|ERROR) ")
LEFT = re.compile(r"(^|/)\.[^/]*\.(lock|tmp)(/|$)|\.checkpoint$")  # what a kill may leave until the next run
FOLDERS = ("models/deployed/",)  # each is written as a whole


@dataclass(frozen=True)
class Ending:
    """Of a process: its exit code, or the signal that ended it, negative; what it said; bytes that it grew by."""

    code: int
    out: str
    err: str
    grown: int

    def fault(self):
        """What is wrong with it by itself, or None."""
        if self.code == -14:
            return f"no end after {SECONDS} s"
        if self.code not in (0, 1):
            return f"exit code {self.code}"
        if self.grown > MEMORY or "out of memory" in self.err:
            return "over 1 GB of memory"
        said = [line for line in self.err.splitlines() if not LOGGED.match(line)]
        if self.code == 0:
            return f"said {said[0][:80]!r}" if said else None
        if len(said) != 1 or not said[0].startswith("error: ") or not said[0].isprintable():
            return f"ended with {len(said)} lines: {said[-1][:80] if said else ''!r}"
        return f"a line of {len(said[0])} characters" if len(said[0]) >= LINE else None


def changed(before, after):
    """Paths of the files that are not as they were, of {path: bytes}."""
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


def fault_of_attack(ending, before, after, outputs, expected=None):
    """What is wrong, or None. expected: {path: bytes} of the outputs, where no other result is right."""
    if fault := ending.fault():
        return fault
    there = changed(before, after)
    if ending.code == 1:
        there = {path for path in there if not path.endswith(".checkpoint")}
        return f"refused, and changed {sorted(there)[0]}" if there else None
    foreign = {path for path in there - set(outputs) if not path.endswith(".checkpoint") or path in after}
    if foreign:
        return f"changed {sorted(foreign)[0]}"
    missing = [path for path in outputs if path not in after]
    if missing:
        return f"wrote no {missing[0]}"
    wrong = [path for path in outputs if expected and after[path] != expected[path]]
    return f"another {wrong[0]} without a word" if wrong else None


def fault_of_kill(killed, before, torn, ending, after, expected):
    """What is wrong, or None. torn: files after the kill; ending, after: of the next run. expected: all its files."""
    if killed.code > 0:
        return f"was to be killed, and ended with {killed.code}: {killed.err[-80:]}"
    for folder in FOLDERS:
        own, *whole = (
            {path: all_[path] for path in all_ if path.startswith(folder)} for all_ in (torn, before, expected)
        )
        if own and own not in whole:
            return f"killed, it left half of {folder}"
    for path in changed(before, torn):
        if torn.get(path) != expected.get(path) and not LEFT.search(path) and not path.startswith(FOLDERS):
            return f"killed, it left another {path}"
    if fault := ending.fault():
        return f"after a kill: {fault}"
    if ending.code:
        return f"after a kill: {ending.err[:80]}"
    wrong = changed(expected, after)
    return f"after a kill another {sorted(wrong)[0]}" if wrong else None


def fault_of_race(endings, after, expected):
    """What is wrong, or None. expected: of each run, all files after it alone."""
    faults = [fault for fault in (ending.fault() for ending in endings) if fault]
    if faults:
        return faults[0]
    ended = [k for k, ending in enumerate(endings) if ending.code == 0]
    if not any(not changed(expected[k], after) for k in ended):
        return "two runs at once left the files of neither"
    return None
