"""Canonical files: the same content gives the same bytes, and a file is whole or absent, never half.

`.npz` archives are stored, not deflated, in a fixed order with a fixed timestamp; JSON has sorted keys and floats of 6
decimals; every text file ends its lines with a line feed. In none of them is a zero negative.
"""

import csv
import hashlib
import io
import json
import re
import zipfile
from itertools import chain

import numpy as np

from kdlib.io import npz_reader
from kdlib.io.atomic import replacing
from kdlib.io.chunks import pieces, positive_zeros
from kdlib.io.errors import UserError

DECIMALS = 6
DEEPEST = 20  # levels of JSON; a few hundred end in a RecursionError when they are copied or written
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
TAG = re.compile(r"<(?=[A-Za-z/!?])")


def _arrays(named):
    """(name, array, little-endian dtype) in the order of the names. What has `nbytes` is one, or is read as one."""
    for name, array in sorted(named.items()):
        array = array if hasattr(array, "nbytes") else np.asarray(array)
        yield name, array, np.dtype(array.dtype).newbyteorder("<")


def digest(arrays):
    """SHA-256, in hex, of {name: array} as `write_npz` writes it."""
    result = hashlib.sha256()
    for name, array, dtype in _arrays(arrays):
        result.update(f"{name} {dtype.str} {array.shape}\n".encode())
        for piece in pieces(array):
            result.update(piece.tobytes())
    return result.hexdigest()


def write_npz(path, arrays):
    """Write {name: array} to `path`. No object arrays. Raises ValueError for one, OSError if the disk is full.

    An array may be any object that `kdlib.io.chunks.pieces` takes: it is written piece by piece.
    """
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array, dtype in _arrays(arrays):
            if dtype.hasobject:
                raise ValueError(f"{name}: object arrays are pickles")
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.create_system, member.external_attr = 3, 0o644 << 16
            header, descr = io.BytesIO(), np.lib.format.dtype_to_descr(dtype)
            told = {"descr": descr, "fortran_order": False, "shape": array.shape}
            np.lib.format.write_array_header_1_0(header, told)
            # What `open` writes for a size that it does not know beforehand differs between Pythons.
            member.file_size = len(header.getbuffer()) + array.nbytes
            with archive.open(member, "w") as stream:
                stream.write(header.getbuffer())
                for piece in pieces(array):
                    stream.write(piece.tobytes())


def read_npz(path, required=(), sealed=False, own=False):
    """{name: array} of the `.npz` at `path`, zeros positive, but of those that are mapped: see `npz_reader.arrays`.

    own: it is a file of the user's own, which no stage writes. Raises UserError if it is missing, damaged, too large,
    no `.npz`, has a pickle in it, or lacks a `required` name.
    """
    try:
        with npz_reader.opened(path) as file:
            found = npz_reader.arrays(file, sealed).items()
            arrays = {name: positive_zeros(array) if array.flags.writeable else array for name, array in found}
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run the stage that writes it, or `dvc repro`") from None
    except (MemoryError, UserError):
        raise
    except Exception as error:  # zipfile and numpy raise a dozen kinds for damaged bytes
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        how = "of numbers of at most 64 bits, and of texts as y.astype(str)" if own else "with its stage"
        raise UserError(f"{path}: not a readable .npz without pickles ({reason}); write it again {how}") from None
    missing = sorted(set(required) - set(arrays))
    if missing:
        raise UserError(f"{path}: lacks {', '.join(missing)}; it holds {', '.join(sorted(arrays)) or 'nothing'}")
    return arrays


def read_json(text):
    """Return what a JSON text holds.

    Parameters
    ----------
    text : str or bytes

    Returns
    -------
    dict, list, str, float, int, bool or None

    Raises
    ------
    ValueError
        If the text is no JSON, or is nested more than DEEPEST deep.
    """
    deep = f"nested more than {DEEPEST} deep"
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(deep) from None
    level = [value]
    for _ in range(DEEPEST):
        held = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)]
        level = list(chain.from_iterable(held))
    if level:
        raise ValueError(deep)
    return value


def rounded(value):
    """As a file of JSON has it: floats of DECIMALS decimals, tuples as lists, in dicts and lists too."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return round(float(value), DECIMALS) + 0.0 if isinstance(value, float | np.floating) else value


def write_bytes(path, content):
    with replacing(path) as file:
        file.write(content)


def write_text(path, text):
    """Write `text` in UTF-8, its line ends as they are; of half of a surrogate pair, which has no UTF-8, its number."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_json(path, value):
    """Write `value` with sorted keys and floats rounded to 6 decimals. Raises ValueError for NaN and infinities."""
    write_text(path, json.dumps(rounded(value), indent=2, sort_keys=True, allow_nan=False) + "\n")


def _harmless(cell):
    """Of a text: what a spreadsheet takes for a formula has an apostrophe before it, a tag of HTML no `<`.

    `dvc plots` puts cells into a page as they are.
    """
    if not isinstance(cell, str):
        return cell
    if cell[:1] in tuple("=+-@\t\r") and not NUMBER.fullmatch(cell):
        cell = f"'{cell}"
    return TAG.sub("‹", cell)


def write_csv(path, rows):
    """Write dicts with the same keys, one or more, floats rounded to 6 decimals; the first row's order."""
    rows = iter(rows)
    first = next(rows)
    with replacing(path) as file:
        text = io.TextIOWrapper(file, "utf-8", "backslashreplace", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(map(_harmless, first))
        writer.writerows([_harmless(rounded(row[key])) for key in first] for row in chain([first], rows))
        text.detach()  # which flushes
