"""Hashes of a commit's results: those in dvc.lock, and those of the bytes that git and the remote have."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from tqdm import tqdm

from kdlib.io.errors import UserError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

RAW_FOLDER = "data/raw"  # a file in it may have a .dvc file beside it
CHUNK_BYTES = 1 << 20  # read at a time


def read_locked_hashes(folder: Path) -> tuple[dict, dict]:
    """Read dvc.lock and the .dvc files of raw data.

    Parameters
    ----------
    folder : Path
        Root of the project.

    Returns
    -------
    outputs : dict
        {(stage, path): MD5}.
    inputs : dict
        {(stage, name): value} of the command, the MD5s of dependencies and the values of parameters.

    Raises
    ------
    UserError
        If a file is missing or not as DVC writes it, or if an output is not in `folder`.
    """
    outputs = {}
    inputs = {}
    root = folder.resolve()
    lock = folder / "dvc.lock"
    for file in (lock, *sorted((folder / RAW_FOLDER).rglob("*.dvc"))):
        name = file.relative_to(folder).as_posix()
        try:
            content = yaml.safe_load(file.read_text("utf-8"))
            for stage, entry in (content["stages"] if file == lock else {name: content}).items():
                for out in entry.get("outs", []):
                    path = (file.parent / out["path"]).resolve()
                    if not path.is_relative_to(root) or path == root:
                        raise UserError(f"{name}: {stage} has the output {out['path']!r}, which is not in this project")
                    outputs[stage, path.relative_to(root).as_posix()] = str(out["md5"])
                inputs |= {(stage, "cmd"): entry.get("cmd")}
                inputs |= {(stage, dep["path"]): dep["md5"] for dep in entry.get("deps", [])}
                for source, values in entry.get("params", {}).items():
                    inputs |= {(stage, f"{source}: {key}"): value for key, value in values.items()}
        except UserError:
            raise
        except FileNotFoundError:
            raise UserError(f"{name}: not in the commit; run `dvc repro` and commit it") from None
        except (yaml.YAMLError, AttributeError, LookupError, OSError, TypeError, ValueError) as error:
            raise UserError(f"{name}: not as DVC writes it ({type(error).__name__}: {error})") from None
    return outputs, inputs


def dvc_md5(files: "AbstractFileSystem", path: str) -> str:
    """Compute the hash that DVC gives to a file or folder.

    Parameters
    ----------
    files : AbstractFileSystem
        File system of fsspec.
    path : str

    Returns
    -------
    str
        In hex; "absent" if there is no such file or folder.
    """
    if files.isdir(path):
        try:
            below = {file[len(path) + 1 :]: dvc_md5(files, file) for file in files.find(path)}
        except Exception as error:  # DVC's own error, where the remote lacks the list of the folder's files
            if isinstance(error.__cause__, FileNotFoundError):
                return "absent"
            raise
        listing = [{"md5": below[name], "relpath": name} for name in sorted(below)]
        return f"{hashlib.md5(json.dumps(listing, sort_keys=True).encode()).hexdigest()}.dir"
    result = hashlib.md5()
    try:
        with files.open(path, "rb") as file:
            while block := file.read(CHUNK_BYTES):
                result.update(block)
    except FileNotFoundError:
        return "absent"
    return result.hexdigest()


def stored_hashes(folder: Path, paths: Sequence[str], remote: str | None, cache: Path) -> dict[str, str]:
    """Compute the MD5s of the bytes that git and the remote have.

    Parameters
    ----------
    folder : Path
        A fresh check-out of git.
    paths : sequence of str
        Outputs; what is not in git is read from the remote.
    remote : str or None
        Name of the remote; None: the default one.
    cache : Path
        An empty folder, so that the user's own cache is not read in place of the remote.

    Returns
    -------
    dict
        {path: MD5}. If no remote is configured, files that only a remote could have are left out.

    Raises
    ------
    UserError
        If the remote cannot be read.
    """
    from dvc.api import DVCFileSystem
    from dvc.repo import Repo
    from fsspec.implementations.local import LocalFileSystem

    found = {path: dvc_md5(LocalFileSystem(), (folder / path).as_posix()) for path in paths if (folder / path).exists()}
    try:
        # Without a remote the file system would read the user's own cache.
        if not (remote := remote or Repo().config["core"].get("remote")):
            return found
        files = DVCFileSystem(".", rev="HEAD", remote=remote, config={"cache": {"dir": str(cache)}})
        rest = [path for path in paths if path not in found]
        # disable=None: no bar where stderr is no terminal
        bar = tqdm(rest, desc=f"reading {remote}", unit="file", disable=None, dynamic_ncols=True)
        return found | {path: dvc_md5(files, path) for path in bar}
    except Exception as error:  # each kind of remote raises its own
        raise UserError(f"remote {remote}: cannot be read ({type(error).__name__}: {error})") from None
