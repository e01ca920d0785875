"""Canonical files: the same content gives the same bytes, and a file is whole or absent, never half.

`.npz` archives are stored, not deflated, in a fixed order with a fixed timestamp. JSON has sorted keys and floats of 6
decimals. Lines of text files end with a line feed. No file has a negative zero.
"""

import csv
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from kdlib.io import npz_reader
from kdlib.io.atomic import atomic_write
from kdlib.io.chunks import canonical_chunks, positive_zeros
from kdlib.io.errors import UserError

DECIMALS = 6  # of a float in JSON and CSV
MAX_JSON_DEPTH = 20  # levels of JSON; a few hundred end in a RecursionError when they are copied or written
PLAIN_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
HTML_TAG_START = re.compile(r"<(?=[A-Za-z/!?])")
ZIP_UNIX = 3  # system that made a member
ZIP_FILE_MODE = 0o644 << 16


def _sorted_arrays(named):
    """Yield (name, array, little-endian dtype) by name; an object with `nbytes` is taken as an array as it is."""
    for name, array in sorted(named.items()):
        array = array if hasattr(array, "nbytes") else np.asarray(array)
        yield name, array, np.dtype(array.dtype).newbyteorder("<")


def array_digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256, in hex, of {name: array} as `write_npz` writes it."""
    result = hashlib.sha256()
    for name, array, dtype in _sorted_arrays(arrays):
        result.update(f"{name} {dtype.str} {array.shape}\n".encode())
        for chunk in canonical_chunks(array):
            result.update(chunk.tobytes())
    return result.hexdigest()


def write_npz(path: Path | str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write {name: array} to a canonical `.npz`, chunk by chunk.

    Parameters
    ----------
    path : path-like
    arrays : dict
        {name: array}. An array may be any object that `kdlib.io.chunks.canonical_chunks` takes.

    Raises
    ------
    ValueError
        If an array has objects.
    OSError
        If the disk is full.
    """
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array, dtype in _sorted_arrays(arrays):
            if dtype.hasobject:
                raise ValueError(f"{name}: object arrays are pickles")
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.create_system = ZIP_UNIX
            member.external_attr = ZIP_FILE_MODE
            header = io.BytesIO()
            description = np.lib.format.dtype_to_descr(dtype)
            fields = {"descr": description, "fortran_order": False, "shape": array.shape}
            np.lib.format.write_array_header_1_0(header, fields)
            # If the size is not known beforehand, the bytes that `open` writes differ between versions of Python.
            member.file_size = len(header.getbuffer()) + array.nbytes
            with archive.open(member, "w") as stream:
                stream.write(header.getbuffer())
                for chunk in canonical_chunks(array):
                    stream.write(chunk.tobytes())


def read_npz(
    path: Path | str, required: Sequence[str] = (), skip_crc: bool = False, from_user: bool = False
) -> dict[str, np.ndarray]:
    """Read {name: array} from an `.npz`.

    Zeros become positive, but not those of mapped arrays, see `npz_reader.read_arrays`.

    Parameters
    ----------
    path : path-like
    required : sequence of str
        Names that the file must have.
    skip_crc : bool
        The caller checks a digest of the arrays, see `npz_reader.read_arrays`.
    from_user : bool
        The file comes from the user, not from a stage; only the advice in a message depends on it.

    Raises
    ------
    UserError
        If the file is missing, damaged, too large or no `.npz`, has a pickle in it, or lacks a `required` name.
    """
    try:
        with npz_reader.open_regular_file(path) as file:
            found = npz_reader.read_arrays(file, skip_crc).items()
            arrays = {name: positive_zeros(array) if array.flags.writeable else array for name, array in found}
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run the stage that writes it, or `dvc repro`") from None
    except (MemoryError, UserError):
        raise
    except Exception as error:  # zipfile and numpy raise a dozen kinds for damaged bytes
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        how = "of numbers of at most 64 bits, and of texts as y.astype(str)" if from_user else "with its stage"
        raise UserError(f"{path}: not a readable .npz without pickles ({reason}); write it again {how}") from None
    missing = sorted(set(required) - set(arrays))
    if missing:
        raise UserError(f"{path}: lacks {', '.join(missing)}; it holds {', '.join(sorted(arrays)) or 'nothing'}")
    return arrays


def read_json(text: str | bytes) -> dict | list | str | float | int | bool | None:
    """Return the value of a JSON text.

    Parameters
    ----------
    text : str or bytes

    Returns
    -------
    dict, list, str, float, int, bool or None

    Raises
    ------
    ValueError
        If the text is no JSON, or is nested more than MAX_JSON_DEPTH deep.
    """
    message = f"nested more than {MAX_JSON_DEPTH} deep"
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(message) from None
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        inner = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)]
        level = list(chain.from_iterable(inner))
    if level:
        raise ValueError(message)
    return value


def read_json_object(text: str | bytes) -> dict:
    """Return the content of a JSON object.

    Raises
    ------
    ValueError
        If the text is no JSON, is nested too deep, or is another value than an object.
    """
    value = read_json(text)
    if not isinstance(value, dict):
        raise ValueError("not an object in JSON")
    return value


def rounded(value: object) -> object:
    """Return a value as a JSON file has it: floats rounded to DECIMALS decimals, tuples as lists, at every depth."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return round(float(value), DECIMALS) + 0.0 if isinstance(value, float | np.floating) else value


def write_bytes(path: Path | str, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with atomic_write(path) as file:
        file.write(content)


def write_text(path: Path | str, text: str) -> None:
    """Write `text` in UTF-8, with its line ends unchanged.

    Half of a surrogate pair has no UTF-8: its code is written, as in `\\ud800`.
    """
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_json(path: Path | str, value: object) -> None:
    """Write `value` as JSON with sorted keys and floats rounded to 6 decimals.

    Raises
    ------
    ValueError
        If a number is NaN or infinite.
    """
    write_text(path, json.dumps(rounded(value), indent=2, sort_keys=True, allow_nan=False) + "\n")


def _harmless(cell):
    """Put an apostrophe before a text that a spreadsheet would run as a formula, and replace the `<` of HTML tags.

    `dvc plots` puts cells into a page unescaped.
    """
    if not isinstance(cell, str):
        return cell
    if cell[:1] in tuple("=+-@\t\r") and not PLAIN_NUMBER.fullmatch(cell):
        cell = f"'{cell}"
    return HTML_TAG_START.sub("‹", cell)


def write_csv(path: Path | str, rows: Iterable[Mapping[str, object]]) -> None:
    """Write rows as CSV, floats rounded to 6 decimals.

    A text that a spreadsheet would run as a formula gets an apostrophe, and a tag of HTML loses its `<`.

    Parameters
    ----------
    path : path-like
    rows : iterable of dict
        One or more, with the same keys. The first row gives the order of the columns.
    """
    rows = iter(rows)
    first = next(rows)
    with atomic_write(path) as file:
        text = io.TextIOWrapper(file, "utf-8", "backslashreplace", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(map(_harmless, first))
        writer.writerows([_harmless(rounded(row[key])) for key in first] for row in chain([first], rows))
        text.detach()  # which flushes, and leaves the file open
