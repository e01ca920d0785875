"""What a commit says of its results: by dvc.lock, and by the bytes that git and the remote have of them."""

import hashlib
import json

import yaml
from tqdm import tqdm

from kdlib.io.errors import UserError

RAW = "data/raw"  # whose files may each have a .dvc file beside it


def claims(folder):
    """(outputs, inputs) that dvc.lock and the .dvc files of raw data in `folder` tell, each {(stage, name): value}.

    Outputs are MD5s by path; inputs are the command, MD5s of dependencies and values of parameters. Raises UserError
    for what is no such file, and for an output that is not in `folder`.
    """
    outputs, inputs, root = {}, {}, folder.resolve()
    lock = folder / "dvc.lock"
    for file in (lock, *sorted((folder / RAW).rglob("*.dvc"))):
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


def md5(files, path):
    """The hash in hex that DVC has for `path` in the fsspec file system `files`; "absent" for what is not there."""
    if files.isdir(path):
        below = {file[len(path) + 1 :]: md5(files, file) for file in files.find(path)}
        listing = [{"md5": below[name], "relpath": name} for name in sorted(below)]
        return f"{hashlib.md5(json.dumps(listing, sort_keys=True).encode()).hexdigest()}.dir"
    result = hashlib.md5()
    try:
        with files.open(path, "rb") as file:
            while block := file.read(1 << 20):
                result.update(block)
    except FileNotFoundError:
        return "absent"
    return result.hexdigest()


def held(folder, paths, remote, cache):
    """{path: MD5} of what git, in a fresh check-out of it in `folder`, and the remote, None for the default one, have.

    cache: an empty folder, so that the user's own cache answers for nothing. Where no remote is configured, files that
    only one could have are left out. Raises UserError if it cannot be read.
    """
    from dvc.api import DVCFileSystem
    from dvc.repo import Repo
    from fsspec.implementations.local import LocalFileSystem

    found = {path: md5(LocalFileSystem(), (folder / path).as_posix()) for path in paths if (folder / path).exists()}
    try:
        # Where there is none, the file system would take the user's own cache for one.
        if not (remote := remote or Repo().config["core"].get("remote")):
            return found
        files = DVCFileSystem(".", rev="HEAD", remote=remote, config={"cache": {"dir": str(cache)}})
        rest = [path for path in paths if path not in found]
        # disable=None: no bar where stderr is no terminal
        bar = tqdm(rest, desc=f"reading {remote}", unit="file", disable=None, dynamic_ncols=True)
        return found | {path: md5(files, path) for path in bar}
    except Exception as error:  # each kind of remote raises its own
        raise UserError(f"remote {remote}: cannot be read ({type(error).__name__}: {error})") from None
