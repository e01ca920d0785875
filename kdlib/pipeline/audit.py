"""Compute the committed results again, and compare them with dvc.lock and with what the remote holds.

Every stage runs in a temporary clone of the last commit, on the files that are in data/raw/ here: without a cache, a
run cache or a pull. A table shows the MD5 of each output as it was computed here, as dvc.lock has it, and of the bytes
in the remote, or in git where DVC keeps no copy. Nothing is written here. Exit code 0 if all are equal; else 1, and one
line names the first that differs.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from kdlib.io.errors import UserError, exit_on_error, printable
from kdlib.pipeline.lockfile import RAW_FOLDER, dvc_md5, read_locked_hashes, stored_hashes

SHOWN_DIGITS = 12  # of a hash
HEADER = ("stage", "output", "here", "dvc.lock", "remote or git", "")


def git(*arguments: str) -> str:
    """Run git and return what it prints. Raises UserError if it fails."""
    process = subprocess.run(["git", *arguments], capture_output=True, text=True, encoding="utf-8", errors="replace")
    if process.returncode:
        raise UserError(f"git {arguments[0]}: {process.stderr.strip() or process.returncode}")
    return process.stdout.removesuffix("\n")


def run_again(clone: Path) -> None:
    """Run every stage in the fresh clone, with this Python.

    Raises
    ------
    UserError
        If a stage fails.
    """
    if os.path.isdir(RAW_FOLDER):
        shutil.copytree(RAW_FOLDER, clone / RAW_FOLDER, dirs_exist_ok=True)
    own = {"PYTHONPATH": str(clone), "DVC_SITE_CACHE_DIR": str(clone.parent / "site")}
    own["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    command = [sys.executable, "-m", "dvc", "repro", "--force", "--no-commit"]
    code = subprocess.run(command, cwd=clone, env=os.environ | own, stdout=2).returncode  # stdout is for the table only
    if code:
        raise UserError(f"`dvc repro --force` in a clone of the commit: exit code {code}; what it says stands above")


def compare(remote: str | None) -> tuple[dict, list]:
    """Compute all results of the commit again, and collect their hashes from everywhere.

    Parameters
    ----------
    remote : str or None
        Name of the DVC remote; None: the default one.

    Returns
    -------
    hashes : dict
        {(stage, output): (here, in dvc.lock, in the remote or git)}; "absent" if there is no such output, "" if it was
        not read.
    stale : list of (stage, name)
        Inputs that differ from those in dvc.lock.

    Raises
    ------
    UserError
        If the project is not the root of its git repository or is not as committed, or as `run_again` and
        `kdlib.pipeline.lockfile.stored_hashes` do.
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
        claimed, known = read_locked_hashes(clone)
        there = stored_hashes(clone, [path for _, path in claimed], remote, Path(temporary) / "cache")
        run_again(clone)
        made, used = read_locked_hashes(clone)
        names = list(claimed | made)
        here = {name: dvc_md5(LocalFileSystem(), (clone / name[1]).as_posix()) for name in names}
    outputs = {path for _, path in names}
    stale = [name for name in known | used if name[1] not in outputs and known.get(name) != used.get(name)]
    return {name: (here[name], claimed.get(name, "absent"), there.get(name[1], "")) for name in names}, stale


def differ(hashes: Sequence[str]) -> bool:
    """Return whether the hashes that were read differ."""
    return len(set(filter(None, hashes))) > 1


def format_table(compared: dict) -> str:
    """Format the hashes of `compare` as a table."""
    rows = [HEADER]
    for name, hashes in compared.items():
        cells = (*name, *(value[:SHOWN_DIGITS] for value in hashes), "differs" if differ(hashes) else "")
        rows.append(tuple(map(printable, cells)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def audit(remote: str | None = None) -> None:
    """Print the table of `compare`.

    Raises
    ------
    UserError
        If anything in the table differs, or as `compare` does.
    """
    compared, stale = compare(remote)
    print(format_table(compared))
    if stale:
        stage, name = stale[0]
        raise UserError(f"dvc.lock: {stage} ran with another {name} than is here; undo that, or `dvc repro` and commit")
    differing = {name: hashes for name, hashes in compared.items() if differ(hashes)}
    for (stage, path), (here, lock, there) in differing.items():
        more = f" (and {len(differing) - 1} more)" if len(differing) > 1 else ""
        raise UserError(f"{path} of {stage}: here {here}, in dvc.lock {lock}, in the remote or git {there}{more}")
    unread = [path for (_, path), hashes in compared.items() if not hashes[-1]]
    print(f"{len(compared)} outputs, all equal{f'; {len(unread)} in no remote, as none is set' if unread else ''}")


def main() -> None:
    """Read the command line and run the audit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--remote", metavar="NAME", help="one of `dvc remote list` (default: the default remote)")
    arguments = parser.parse_args()
    with exit_on_error():
        try:
            audit(arguments.remote)
        except ImportError as error:
            raise UserError(f"audit: needs {error.name}: pip install 'kdlib[pipeline]'") from None


if __name__ == "__main__":
    main()
