"""Reading of untrusted `.npz` and `.npy` files: sizes are checked before memory of that size is used."""

import io
import math
import os
import stat
import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np

from kdlib.io.errors import UserError

END_RECORD_BYTES = 22  # of a ZIP file without a comment
MAX_EXPANSION = 100  # an archive unpacks to at most MAX_EXPANSION times its size,
FREE_BYTES = 1 << 24  # and FREE_BYTES more
MAX_EMPTY_AXIS = 1 << 20  # length of an axis of an array without entries, so that a loop over the axis ends
MIN_MAPPED_BYTES = 1 << 26  # bytes from which a stored array is mapped, not read: 64 MiB
CHUNK_BYTES = 1 << 22  # bytes that are checked at once
CODE_POINTS = 0x110000  # of Unicode


def open_regular_file(path: Path | str) -> BinaryIO:
    """Open a regular file for reading, in binary mode.

    Raises
    ------
    UserError
        If the file is not a regular one: a pipe may block, and a device may never end.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise UserError(f"{path}: not a regular file")
    return open(path, "rb")


def read_arrays(file: BinaryIO, skip_crc: bool = False) -> dict[str, np.ndarray]:
    """Read {name: array} from an open `.npz`.

    Each member is read to its end, which checks its CRC; the number of members is compared with the archive's last
    record. A stored member of MIN_MAPPED_BYTES or more becomes a read-only memory map of the file: pages are read when
    they are used, and the system can take their memory back.

    Parameters
    ----------
    file : binary file
    skip_crc : bool
        Whether the CRC of mapped arrays is not checked, because the caller checks a digest of them.

    Raises
    ------
    Exception
        One of a dozen kinds, if the file is damaged.
    """
    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        unpacked = sum(member.file_size for member in members)  # lint: integer sum
        if unpacked > MAX_EXPANSION * size + FREE_BYTES:
            raise ValueError(
                f"its {size} bytes unpack to {unpacked}, over {MAX_EXPANSION} times as many; store it unpacked"
            )
        if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members):
            raise ValueError("a member is neither stored nor deflated")
        content = {}
        for member in members:
            large = member.compress_type == zipfile.ZIP_STORED and member.file_size >= MIN_MAPPED_BYTES
            name = member.filename.removesuffix(".npy")
            try:
                content[name] = _mapped(archive, member, file, skip_crc) if large else _array(archive.read(member))
            except ValueError as error:
                raise ValueError(f"{name[:40]}: {error}") from None
    file.seek(-END_RECORD_BYTES, os.SEEK_END)
    if int.from_bytes(file.read()[10:12], "little") != len(content):
        raise ValueError("members are missing from its directory")
    return content


def read_array(file: BinaryIO) -> np.ndarray:
    """Read the array of an open `.npy`; map it if it has MIN_MAPPED_BYTES or more.

    Raises
    ------
    Exception
        As in `read_arrays`.
    """
    length = os.fstat(file.fileno()).st_size
    if length < MIN_MAPPED_BYTES:
        return _array(file.read())
    return _map(file, 0, length)


def _mapped(archive, member, file, skip_crc):
    """Map the array of a stored member."""
    with archive.open(member) as stream:  # which compares the two headers
        if not skip_crc:
            while stream.read(CHUNK_BYTES):
                pass
    file.seek(member.header_offset + 26)
    lengths = file.read(4)
    start = member.header_offset + 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
    if member.compress_size != member.file_size:
        raise ValueError(f"{member.filename} is stored, and of two sizes")
    return _map(file, start, member.file_size)


def _map(file, start, length):
    """Map the array of an `.npy` of `length` bytes from `start`; read it if it has no numbers in native byte order."""
    file.seek(start)
    shape, fortran, dtype = _header(file, length)
    if dtype.kind not in "iufc" or not dtype.isnative:
        file.seek(start)
        return _array(file.read(length))
    return np.asarray(np.memmap(file, dtype, "r", file.tell(), shape, "F" if fortran else "C"))


def _header(file, length):
    """Return (shape, whether in Fortran order, dtype) of the `.npy` of `length` bytes from the file's position.

    Raises ValueError if shape and dtype do not fit the number of bytes after the header.
    """
    start = file.tell()
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"an array has the format {version}")
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = header(file)
    if dtype.hasobject:
        raise ValueError("an array has objects, which only a pickle holds")
    too_wide = dtype.itemsize > {"f": 8, "c": 16}.get(dtype.kind, math.inf)
    if dtype.kind not in "biufcSU" or not dtype.itemsize or too_wide:
        raise ValueError(f"an array is of {dtype}, not of numbers or texts")
    found = length - (file.tell() - start)
    expected = dtype.itemsize * math.prod(shape)  # lint: integer sum
    if any(n < 0 for n in shape) or expected != found or (not found and any(n > MAX_EMPTY_AXIS for n in shape)):
        raise ValueError(f"an array is {dtype} {shape}, {expected} bytes, with {found} bytes behind it")
    return shape, fortran, dtype


def _array(data):
    """Return the array of an `.npy`'s bytes, in native byte order.

    Raises ValueError as `_header` does, and if a text is not Unicode.
    """
    file = io.BytesIO(data)
    shape, fortran, dtype = _header(file, len(data))
    array = np.frombuffer(data, dtype, offset=file.tell()).reshape(shape, order="F" if fortran else "C").copy()
    if dtype.kind == "b":
        return array.view(np.uint8) != 0
    if dtype.kind == "U" and array.size and np.max(array.reshape(-1).view(dtype.str[0] + "u4")) >= CODE_POINTS:
        raise ValueError("a text has no Unicode")
    return array.astype(dtype.newbyteorder("="), copy=False)
