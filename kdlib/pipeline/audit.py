"""Compute the committed results again and compare them with dvc.lock and with what the remote holds.

In a temporary clone of the last commit every stage runs, from what lies in data/raw/ here: without a cache, a run cache
or a pull. Then the MD5 of each output that came out stands beside the one in dvc.lock and the one of the bytes that the
remote has, or git where DVC keeps no copy. Nothing is written here. Exit code 0 if all are equal; else 1, and one line
names the first that differs.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from kdlib.io.errors import UserError, ending_in_a_line, printable
from kdlib.pipeline import interrupts
from kdlib.pipeline.lockfile import RAW, claims, held, md5

DIGITS = 12  # of a hash that are shown
HEAD = ("stage", "output", "here", "dvc.lock", "remote or git", "")


def git(*arguments):
    process = subprocess.run(["git", *arguments], capture_output=True, text=True, encoding="utf-8", errors="replace")
    if process.returncode:
        raise UserError(f"git {arguments[0]}: {process.stderr.strip() or process.returncode}")
    return process.stdout.removesuffix("\n")


def run_again(clone):
    """Run every stage in the fresh `clone`, with this Python. Raises UserError if one fails."""
    if os.path.isdir(RAW):
        shutil.copytree(RAW, clone / RAW, dirs_exist_ok=True)
    own = {"PYTHONPATH": str(clone), "DVC_SITE_CACHE_DIR": str(clone.parent / "site")}
    own["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    command = [sys.executable, "-m", "dvc", "repro", "--force", "--no-commit"]
    code = subprocess.run(command, cwd=clone, env=os.environ | own, stdout=2).returncode  # stdout has the table alone
    if code:
        raise UserError(f"`dvc repro --force` in a clone of the commit: exit code {code}; what it says stands above")


def compare(remote):
    """({(stage, output): its hashes here, in dvc.lock, in the remote or git, "" if not read}, inputs that differ).

    The hashes of what is not there are "absent"; the inputs are (stage, name).
    """
    from fsspec.implementations.local import LocalFileSystem

    if below := git("rev-parse", "--show-prefix"):  # DVC reads no remote of such a project at a commit
        raise UserError(f"{below}: a folder in a git repository; an audit is of the project at its root: run it there")
    if changed := git("status", "--porcelain", "--untracked-files=no"):
        raise UserError(
            f"{changed.splitlines()[0][3:]}: not as committed; an audit is of the commit: commit or undo it"
        )
    with tempfile.TemporaryDirectory(prefix="kdlib-audit-", ignore_cleanup_errors=True) as temporary:
        clone = Path(temporary).resolve() / "clone"
        git("clone", "--quiet", ".", str(clone))
        claimed, known = claims(clone)
        there = held(clone, [path for _, path in claimed], remote, Path(temporary) / "cache")
        run_again(clone)
        made, used = claims(clone)
        names = list(claimed | made)
        here = {name: md5(LocalFileSystem(), (clone / name[1]).as_posix()) for name in names}
    outputs = {path for _, path in names}
    stale = [name for name in known | used if name[1] not in outputs and known.get(name) != used.get(name)]
    return {name: (here[name], claimed.get(name, "absent"), there.get(name[1], "")) for name in names}, stale


def differ(hashes):
    return len(set(filter(None, hashes))) > 1


def table(compared):
    rows = [HEAD]
    for name, hashes in compared.items():
        cells = (*name, *(value[:DIGITS] for value in hashes), "differs" if differ(hashes) else "")
        rows.append(tuple(map(printable, cells)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def audit(remote=None):
    """Print the table. Raises UserError if anything in it differs."""
    compared, stale = compare(remote)
    print(table(compared))
    if stale:
        stage, name = stale[0]
        raise UserError(f"dvc.lock: {stage} ran with another {name} than is here; undo that, or `dvc repro` and commit")
    differing = {name: hashes for name, hashes in compared.items() if differ(hashes)}
    for (stage, path), (here, lock, there) in differing.items():
        more = f" (and {len(differing) - 1} more)" if len(differing) > 1 else ""
        raise UserError(f"{path} of {stage}: here {here}, in dvc.lock {lock}, in the remote or git {there}{more}")
    unread = [path for (_, path), hashes in compared.items() if not hashes[-1]]
    print(f"{len(compared)} outputs, all equal{f'; {len(unread)} in no remote, as none is set' if unread else ''}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--remote", metavar="NAME", help="one of `dvc remote list` (default: the default remote)")
    arguments = parser.parse_args()
    with ending_in_a_line():
        interrupts.are_exceptions()
        try:
            audit(arguments.remote)
        except ImportError as error:
            raise UserError(f"audit: needs {error.name}: pip install -r requirements.txt") from None


if __name__ == "__main__":
    main()
