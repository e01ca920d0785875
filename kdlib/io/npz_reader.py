"""Reading files of whose content nothing is known: sizes are checked before anything of that size is made."""

import io
import math
import os
import stat
import zipfile

import numpy as np

from kdlib.io.errors import UserError

END_RECORD_BYTES = 22  # of a ZIP file without a comment
EXPANSION, FREE = 100, 1 << 24  # an archive unpacks to at most so many times its size, and so many bytes on top
EMPTY = 1 << 20  # greatest length of an axis of an array without entries: what goes through it ends
MAPPED = 1 << 26  # bytes of a stored array that is mapped, not read: 64 MiB
BLOCK = 1 << 22  # bytes that are checked at once
UNICODE = 0x110000


def opened(path):
    """The regular file at `path`, binary. Raises UserError for another: a pipe may block, a device may never end."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise UserError(f"{path}: not a regular file")
    return open(path, "rb")


def arrays(file, sealed=False):
    """{name: array} of the `.npz` in the open `file`. Raises an error of one of a dozen kinds if it is damaged.

    Each member is read to its end, which checks its CRC; how many there are stands in the last record. Of MAPPED bytes
    or more, stored, it becomes a map of the file that cannot be written to: the pages that are used are read when they
    are, and memory that is short takes them back. sealed: the caller checks a digest of what is mapped, in place of
    the CRC.
    """
    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        unpacked = sum(member.file_size for member in members)  # integers
        if unpacked > EXPANSION * size + FREE:
            raise ValueError(
                f"its {size} bytes unpack to {unpacked}, over {EXPANSION} times as many; store it unpacked"
            )
        if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members):
            raise ValueError("a member is neither stored nor deflated")
        content = {}
        for member in members:
            large = member.compress_type == zipfile.ZIP_STORED and member.file_size >= MAPPED
            name = member.filename.removesuffix(".npy")
            try:
                content[name] = _mapped(archive, member, file, sealed) if large else _array(archive.read(member))
            except ValueError as error:
                raise ValueError(f"{name[:40]}: {error}") from None
    file.seek(-END_RECORD_BYTES, os.SEEK_END)
    if int.from_bytes(file.read()[10:12], "little") != len(content):
        raise ValueError("members are missing from its directory")
    return content


def array(file):
    """The array of the open `.npy`, mapped if it has MAPPED bytes or more. Raises an error as `arrays` does."""
    length = os.fstat(file.fileno()).st_size
    if length < MAPPED:
        return _array(file.read())
    return _map(file, 0, length)


def _mapped(archive, member, file, sealed):
    """The array of a stored member as a map."""
    with archive.open(member) as stream:  # which compares the two headers
        if not sealed:
            while stream.read(BLOCK):
                pass
    file.seek(member.header_offset + 26)
    lengths = file.read(4)
    start = member.header_offset + 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
    if member.compress_size != member.file_size:
        raise ValueError(f"{member.filename} is stored, and of two sizes")
    return _map(file, start, member.file_size)


def _map(file, start, length):
    """The array of the `length` bytes of an `.npy` from `start`; of what is no number of this machine's, read."""
    file.seek(start)
    shape, fortran, dtype = _header(file, length)
    if dtype.kind not in "iufc" or not dtype.isnative:
        file.seek(start)
        return _array(file.read(length))
    return np.asarray(np.memmap(file, dtype, "r", file.tell(), shape, "F" if fortran else "C"))


def _header(file, length):
    """(shape, whether in Fortran's order, dtype) of the `.npy` of so many bytes that begins where `file` is.

    Raises ValueError if its shape is not that of the numbers behind it.
    """
    start = file.tell()
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"an array has the format {version}")
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = header(file)
    if dtype.hasobject:
        raise ValueError("an array has objects, which only a pickle holds")
    if dtype.kind not in "biufcSU" or not dtype.itemsize or (dtype.kind == "f" and dtype.itemsize > 8):
        raise ValueError(f"an array is of {dtype}, not of numbers or texts")
    there, told = length - (file.tell() - start), dtype.itemsize * math.prod(shape)  # integers
    if any(length < 0 for length in shape) or told != there or (not there and any(n > EMPTY for n in shape)):
        raise ValueError(f"an array is {dtype} {shape}, {told} bytes, with {there} bytes behind it")
    return shape, fortran, dtype


def _array(data):
    """The array of the bytes of an `.npy`, in this machine's order of bytes.

    Raises ValueError as `_header` does, and for a text without Unicode.
    """
    file = io.BytesIO(data)
    shape, fortran, dtype = _header(file, len(data))
    array = np.frombuffer(data, dtype, offset=file.tell()).reshape(shape, order="F" if fortran else "C").copy()
    if dtype.kind == "b":
        return array.view(np.uint8) != 0
    if dtype.kind == "U" and array.size and np.max(array.reshape(-1).view(dtype.str[0] + "u4")) >= UNICODE:
        raise ValueError("a text has no Unicode")
    return array.astype(dtype.newbyteorder("="), copy=False)
