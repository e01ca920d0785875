"""Results and what changes them, as Markdown: `python .ci/summary.py [BASE]`, to $GITHUB_STEP_SUMMARY or the terminal.

BASE is a revision of git to compare with; in a pull request it is the base branch, which is fetched.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from kdlib.io.errors import printable
from kdlib.reporting.table import format_report

MAX_BLOCK_CHARACTERS = 100_000  # characters of a block; a step's summary may have 1 MiB


def block(text):
    """Return `text` as a block of code. No row of backticks in the text can end it, because the fence is longer."""
    text = "\n".join(map(printable, text.splitlines()))
    cut = f"{text[:MAX_BLOCK_CHARACTERS]}\n…" if len(text) > MAX_BLOCK_CHARACTERS else text
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", cut)), default=0))
    return f"{fence}\n{cut}\n{fence}"


def output_of(*command):
    """Return what a command prints, or None if it fails."""
    process = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace")
    return process.stdout if process.returncode == 0 else None


def results():
    try:
        return format_report(json.loads(Path("metrics/details.json").read_text("utf-8")))
    except (AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        return f"metrics/details.json: cannot be shown ({type(error).__name__}: {error})"


def fetched(branch):
    """Fetch the newest commit of the remote's `branch`, also into a shallow clone; return git's name of it, or None."""
    shallow = ["--depth=1"] * ((output_of("git", "rev-parse", "--is-shallow-repository") or "").strip() == "true")
    refs = f"+refs/heads/{branch}:refs/remotes/origin/{branch}"
    found = output_of("git", "fetch", "--quiet", "--no-tags", *shallow, "origin", refs)
    return None if found is None else f"origin/{branch}"


def differences(kind, base):
    text = output_of(sys.executable, "-m", "dvc", kind, "diff", base)
    return f"`dvc {kind} diff` fails" if text is None else text.strip() or "none"


def summary(base, branch):
    """Return the summary in Markdown. base: a revision, or ""; branch: of the remote `origin`, if there is no base."""
    parts = ["## Results", block(results())]
    base = base or (branch and fetched(branch))
    if base is None:
        parts += ["## Changes", "The base branch cannot be fetched."]
    elif base:
        for kind in ("params", "metrics"):
            parts += [f"## Changes of {kind}", block(differences(kind, base))]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    text = summary("".join(sys.argv[1:2]), os.environ.get("GITHUB_BASE_REF"))
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(path, "a", encoding="utf-8", newline="\n") as file:
            file.write(text)
    else:
        print(text, end="")
