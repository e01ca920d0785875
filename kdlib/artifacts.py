"""Canonical files: the same content gives the same bytes, and a file is whole or absent, never half.

`.npz` archives are stored, not deflated, in a fixed order with a fixed timestamp; JSON has sorted keys and floats of 6
decimals; every text file ends its lines with a line feed. In none of them is a zero negative.
"""

import contextlib
import csv
import hashlib
import io
import json
import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from kdlib.errors import UserError

DECIMALS = 6
END_RECORD_BYTES = 22  # of a ZIP file without a comment


@contextlib.contextmanager
def _replacing(path):
    """A binary file that takes `path`'s place when the block ends without an error, and leaves no trace otherwise."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)
        raise


def positive_zeros(array):
    """`array` with 0.0 in place of -0.0: equal numbers are then equal bits.

    Which of two equal numbers min, max, unique and sort return, and which zero a BLAS does, differs between machines.
    """
    return np.where(array == 0, array.dtype.type(0), array) if array.dtype.kind == "f" else array


def _canonical(array):
    """`array` in C order, little-endian, its zeros positive."""
    array = positive_zeros(np.asarray(array))
    array = np.ascontiguousarray(array).reshape(array.shape)
    return array.astype(array.dtype.newbyteorder("<"))


def digest(arrays):
    """SHA-256, in hex, of {name: array} as `write_npz` writes it."""
    result = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        array = _canonical(array)
        result.update(f"{name} {array.dtype.str} {array.shape}\n".encode() + array.tobytes())
    return result.hexdigest()


def write_npz(path, arrays):
    """Write {name: array} to `path`. No object arrays. Raises ValueError for one, OSError if the disk is full."""
    with _replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.create_system, member.external_attr = 3, 0o644 << 16
            content = io.BytesIO()
            np.lib.format.write_array(content, _canonical(arrays[name]), (1, 0), allow_pickle=False)
            # writestr knows the size beforehand; what `open` writes for an unknown one differs between Pythons
            archive.writestr(member, content.getbuffer())


def _members(file):
    """{name: array}. Each is read to its end, which checks its CRC; how many there are stands in the last record."""
    with zipfile.ZipFile(file) as archive:
        content = {member.filename: archive.read(member) for member in archive.infolist()}
    file.seek(-END_RECORD_BYTES, os.SEEK_END)
    if int.from_bytes(file.read()[10:12], "little") != len(content):
        raise ValueError("members are missing from its directory")
    return {
        name.removesuffix(".npy"): positive_zeros(np.lib.format.read_array(io.BytesIO(data), allow_pickle=False))
        for name, data in content.items()
    }


def read_npz(path, required=()):
    """{name: array} of the `.npz` at `path`, zeros positive.

    Raises UserError if it is missing, damaged, not an `.npz`, has a pickle in it, or lacks one of the `required` names.
    """
    try:
        with open(path, "rb") as file:
            arrays = _members(file)
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run the stage that writes it, or `dvc repro`") from None
    except MemoryError:
        raise
    except Exception as error:  # zipfile and numpy raise a dozen kinds for damaged bytes
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{path}: not a readable .npz without pickles ({reason}); write it again with its stage"
        ) from None
    missing = sorted(set(required) - set(arrays))
    if missing:
        raise UserError(f"{path}: lacks {', '.join(missing)}; it holds {', '.join(sorted(arrays)) or 'nothing'}")
    return arrays


def _rounded(value):
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return round(float(value), DECIMALS) + 0.0 if isinstance(value, float | np.floating) else value


def write_text(path, text):
    """Write `text` in UTF-8, its line ends as they are."""
    with _replacing(path) as file:
        file.write(text.encode())


def write_json(path, value):
    """Write `value` with sorted keys and floats rounded to 6 decimals. Raises ValueError for NaN and infinities."""
    write_text(path, json.dumps(_rounded(value), indent=2, sort_keys=True, allow_nan=False) + "\n")


def write_csv(path, rows):
    """Write a non-empty list of dicts with the same keys, floats rounded to 6 decimals; the first row's order."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(_rounded(row) for row in rows)
    write_text(path, text.getvalue())
