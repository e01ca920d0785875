"""Of an archive whose content nobody knows, sizes are checked before anything of that size is made."""

import io
import os
import tracemalloc
import zipfile

import numpy as np
import pytest

from kdlib.io.artifacts import read_npz
from kdlib.io.errors import UserError
from kdlib.io.npz_reader import open_regular_file


def member(shape, dtype="<f8", content=b"", version=(1, 0)):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue().replace(b"NUMPY\x01\x00", b"NUMPY" + bytes(version)) + content


def archive(path, compression=zipfile.ZIP_STORED, **members):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)


LIES = {
    "a shape of terabytes": member((10**12,)),
    "a shape that overflows": member((2**62, 4)),
    "a negative shape": member((-1, -4), content=bytes(32)),
    "a shape of nothing": member((10**12, 0)),
    "texts of no length": member((10**12,), "<U0"),
    "more than the shape": member((2,), content=bytes(24)),
    "less than the shape": member((2,), content=bytes(8)),
    "a structure": member((2,), [("a", "<f8"), ("b", "<i4")], bytes(24)),
    "dates": member((1,), "<M8[s]", bytes(8)),
    "objects": member((1,), "|O", bytes(8)),
    "a text beyond Unicode": member((1,), "<U1", b"\xff\xff\xff\x7f"),
    "another format": member((1,), content=bytes(8), version=(3, 0)),
}


@pytest.mark.parametrize("content", LIES.values(), ids=LIES)
def test_a_header_that_lies_is_refused(tmp_path, content):
    archive(tmp_path / "a.npz", fine=member((2,), content=bytes(16)), lie=content)
    tracemalloc.start()
    with pytest.raises(UserError, match=r"a\.npz: not a readable \.npz without pickles"):
        read_npz(tmp_path / "a.npz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**7


def test_what_unpacks_to_a_thousand_times_its_size_is_refused_unread(tmp_path):
    archive(tmp_path / "a.npz", zipfile.ZIP_DEFLATED, zeros=member((5 * 10**6,), content=bytes(4 * 10**7)))
    tracemalloc.start()
    with pytest.raises(UserError, match="unpack to 4000"):
        read_npz(tmp_path / "a.npz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**7


def test_what_is_packed_as_numbers_are_is_read(tmp_path):
    x = np.random.default_rng(0).integers(0, 2, (4000, 100)).astype(np.uint8)
    np.savez_compressed(tmp_path / "a.npz", x=x, ones=np.array([True, False]), text=np.array(["é", ""]))
    back = read_npz(tmp_path / "a.npz")
    assert np.array_equal(back["x"], x)
    assert back["ones"].tolist() == [True, False]
    assert back["text"].tolist() == ["é", ""]
    assert all(array.flags.writeable for array in back.values())


@pytest.mark.parametrize("order", "<>")
def test_what_has_either_order_of_bytes_is_read_in_the_machines(tmp_path, order):
    texts, numbers = np.array(["eins", "zwei"], f"{order}U4"), np.array([1, 2], f"{order}i8")
    np.savez(tmp_path / "of.npz", texts=texts, numbers=numbers)
    found = read_npz(tmp_path / "of.npz")
    assert found["texts"].tolist() == ["eins", "zwei"]
    assert found["numbers"].dtype == np.int64
    assert found["numbers"].tolist() == [1, 2]


def test_a_byte_that_is_no_truth_value_is_true(tmp_path):
    archive(tmp_path / "a.npz", a=member((3,), "|b1", b"\0\1\2"))
    assert read_npz(tmp_path / "a.npz")["a"].tolist() == [False, True, True]


def test_a_name_with_an_escape_is_shown_not_obeyed(tmp_path):
    archive(tmp_path / "a.npz", **{"x\x1b[31m\x07": member((1,), content=bytes(8))})
    with pytest.raises(UserError) as refused:
        read_npz(tmp_path / "a.npz", ["y"])
    assert str(refused.value).isprintable()
    assert "\\x1b[31m" in str(refused.value)


def test_a_thousand_names_are_one_short_line(tmp_path):
    archive(tmp_path / "a.npz", **{f"name_{k}": member((1,), content=bytes(8)) for k in range(1000)})
    with pytest.raises(UserError) as refused:
        read_npz(tmp_path / "a.npz", ["y"])
    assert len(str(refused.value)) < 300
    assert "a.npz: lacks y" in str(refused.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_a_pipe_is_refused_and_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for read in (open_regular_file, read_npz):
        with pytest.raises(UserError, match="pipe: not a regular file"):
            read(tmp_path / "pipe")
