"""Canonical files: the same content gives the same bytes, and a file is whole or absent, never half."""

import csv
import errno
import io
import json
import math
import os
import signal
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kdlib.io.artifacts import MAX_JSON_DEPTH, read_json, read_npz, write_csv, write_json, write_npz, write_text
from kdlib.io.errors import UserError
from tests.conftest import files

DTYPES = st.one_of(
    hnp.floating_dtypes(sizes=(32, 64), endianness="<"),
    hnp.integer_dtypes(sizes=(64,), endianness="<"),
    st.sampled_from([np.dtype(np.uint8), np.dtype(bool)]),
    hnp.unicode_string_dtypes(endianness="<", max_len=5),
)
ARRAYS = DTYPES.flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)
NAMED = st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), ARRAYS, max_size=5)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
some = settings(deadline=None, max_examples=40)


def identical(a, b):
    """To the last bit, but for the sign of a zero."""
    a, b = (np.where(array == 0, np.abs(array), array) if array.dtype.kind == "f" else array for array in (a, b))
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("artifacts")


def npz_bytes(folder, arrays):
    write_npz(folder / "any.npz", arrays)
    return (folder / "any.npz").read_bytes()


class TestNpz:
    @some
    @given(arrays=NAMED)
    def test_round_trip_is_exact(self, folder, arrays):
        write_npz(folder / "a.npz", arrays)
        back = read_npz(folder / "a.npz")
        assert back.keys() == arrays.keys()
        assert all(identical(back[name], array) for name, array in arrays.items())

    @some
    @given(arrays=NAMED, data=st.data())
    def test_order_of_names_does_not_matter(self, folder, arrays, data):
        shuffled = {name: arrays[name] for name in data.draw(st.permutations(list(arrays)))}
        assert npz_bytes(folder, shuffled) == npz_bytes(folder, arrays)

    @some
    @given(array=ARRAYS)
    def test_order_in_memory_does_not_matter(self, folder, array):
        other = np.asfortranarray(array).reshape(array.shape, order="F")
        assert npz_bytes(folder, {"a": other}) == npz_bytes(folder, {"a": array})

    @some
    @given(array=ARRAYS)
    def test_strides_do_not_matter(self, folder, array):
        view = np.repeat(array[..., None], 2, axis=-1)[..., 0]
        assert npz_bytes(folder, {"a": view}) == npz_bytes(folder, {"a": array})

    @some
    @given(array=ARRAYS)
    def test_byte_order_does_not_matter(self, folder, array):
        big = array.astype(array.dtype.newbyteorder(">"))
        assert npz_bytes(folder, {"a": big}) == npz_bytes(folder, {"a": array})

    @some
    @given(arrays=NAMED, other=NAMED)
    def test_other_arrays_give_other_bytes(self, folder, arrays, other):
        same = arrays.keys() == other.keys() and all(identical(arrays[name], other[name]) for name in arrays)
        assert (npz_bytes(folder, arrays) == npz_bytes(folder, other)) is same

    def test_numpy_reads_it(self, folder):
        arrays = {"weights": np.arange(6.0).reshape(2, 3), "digest": np.array("é"), "empty": np.empty((0, 3), np.uint8)}
        write_npz(folder / "a.npz", arrays)
        with np.load(folder / "a.npz", allow_pickle=False) as archive:
            assert archive.files == sorted(arrays)
            assert all(identical(archive[name], array) for name, array in arrays.items())

    def test_what_numpy_wrote_is_read(self, folder):
        arrays = {"b": np.arange(6.0).reshape(2, 3), "a": np.array("text")}
        for save in (np.savez, np.savez_compressed):
            save(folder / "a.npz", **arrays)
            back = read_npz(folder / "a.npz")
            assert back.keys() == arrays.keys()
            assert all(identical(back[name], array) for name, array in arrays.items())

    def test_members_are_stored_and_carry_no_time_and_no_machine(self, folder):
        write_npz(folder / "a.npz", {"b": np.zeros(1000), "a": np.ones(3)})
        with zipfile.ZipFile(folder / "a.npz") as archive:
            members = archive.infolist()
        assert [member.filename for member in members] == ["a.npy", "b.npy"]
        assert {member.compress_type for member in members} == {zipfile.ZIP_STORED}
        assert {member.date_time for member in members} == {(1980, 1, 1, 0, 0, 0)}
        assert {(member.create_system, member.external_attr >> 16) for member in members} == {(3, 0o644)}

    def test_json_is_read_as_deep_as_a_file_of_ours_goes(self):
        assert read_json('{"a": [1.5, null, {"b": "c"}]}') == {"a": [1.5, None, {"b": "c"}]}
        assert read_json(b"[" * MAX_JSON_DEPTH + b"]" * MAX_JSON_DEPTH)
        for levels in (MAX_JSON_DEPTH + 1, 600, 10**6):
            with pytest.raises(ValueError, match="nested more than"):
                read_json('{"a":' * levels + "[]" + "}" * levels)

    def test_object_arrays_are_refused(self, tmp_path):
        with pytest.raises(ValueError, match=r"[Oo]bject"):
            write_npz(tmp_path / "a.npz", {"fine": np.zeros(3), "names": np.array(["a", None], dtype=object)})
        assert files(tmp_path) == {}


@pytest.fixture(scope="module")
def whole(folder):
    """(arrays, file): an archive with a member longer than one read of zipfile's, and shorter ones."""
    arrays = {
        "curve": np.arange(4.0).reshape(1, 4),
        "digest": np.array("abc"),
        "logits": np.arange(2000, dtype=np.float32).reshape(100, 20),
        "weights_0": np.ones((1, 2, 4), np.float32),
    }
    return arrays, npz_bytes(folder, arrays)


class TestDamagedNpz:
    """Every damage is refused, or does not change what is read."""

    def refused_or_same(self, folder, damaged, arrays):
        (folder / "damaged.npz").write_bytes(damaged)
        try:
            back = read_npz(folder / "damaged.npz")
        except UserError:
            return True
        return back.keys() == arrays.keys() and all(identical(back[name], array) for name, array in arrays.items())

    def test_one_flipped_bit(self, folder, whole):
        """One bit of every byte outside of the long array's numbers, and of some of these."""
        arrays, good = whole
        numbers = good.index(arrays["logits"].tobytes())
        positions = [*range(numbers), *range(numbers, numbers + 8000, 397), *range(numbers + 8000, len(good))]
        for position in positions:
            damaged = bytearray(good)
            damaged[position] ^= 1 << position % 8
            assert self.refused_or_same(folder, damaged, arrays), position

    def test_a_directory_that_lost_members(self, folder, whole):
        """An entry's comment may swallow the entries after it; ZIP readers do not notice."""
        arrays, good = whole
        first = good.index(b"PK\x01\x02")
        for bit in range(16):
            damaged = bytearray(good)
            damaged[first + 32 + bit // 8] ^= 1 << bit % 8
            assert self.refused_or_same(folder, damaged, arrays), bit

    def test_a_shape_that_hides_numbers(self, folder, whole):
        arrays, good = whole
        assert self.refused_or_same(folder, good.replace(b"(100, 20)", b"(100,  2)"), arrays)

    def test_truncated(self, folder, whole):
        _, good = whole
        for length in range(0, len(good), 23):
            (folder / "short.npz").write_bytes(good[:length])
            with pytest.raises(UserError, match=r"short\.npz"):
                read_npz(folder / "short.npz")

    @pytest.mark.parametrize("content", [b"", b"PK", b"weights", b"\x93NUMPY\x01\x00", bytes(range(256))])
    def test_no_archive(self, tmp_path, content):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(UserError, match=r"a\.npz"):
            read_npz(tmp_path / "a.npz")

    def test_a_plain_npy(self, tmp_path):
        np.save(tmp_path / "a.npy", np.zeros(3))
        with pytest.raises(UserError, match=r"a\.npy"):
            read_npz(tmp_path / "a.npy")

    def test_a_member_that_is_no_array(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("readme.txt", "hello")
        with pytest.raises(UserError, match=r"a\.npz"):
            read_npz(tmp_path / "a.npz")

    def test_a_pickle_is_not_opened(self, tmp_path):
        class Bomb:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "exploded"),)

        np.savez(tmp_path / "a.npz", fine=np.zeros(2), names=np.array([Bomb()], dtype=object))
        with pytest.raises(UserError, match="pickle"):
            read_npz(tmp_path / "a.npz")
        assert not (tmp_path / "exploded").exists()

    def test_missing_names_are_named(self, tmp_path):
        write_npz(tmp_path / "a.npz", {"x": np.zeros(2)})
        with pytest.raises(UserError, match="lacks y, z; it holds x"):
            read_npz(tmp_path / "a.npz", ["z", "x", "y"])

    def test_missing_file(self, tmp_path):
        with pytest.raises(UserError, match="not found"):
            read_npz(tmp_path / "a.npz")


class TestJson:
    def text(self, folder, value):
        write_json(folder / "a.json", value)
        return (folder / "a.json").read_bytes().decode()

    def test_keys_are_sorted_at_every_level(self, folder):
        text = self.text(folder, {"b": {"z": 1, "a": 2}, "a": [{"y": 3, "x": 4}]})
        assert "".join(text.split()) == '{"a":[{"x":4,"y":3}],"b":{"a":2,"z":1}}'

    @some
    @given(value=FINITE)
    def test_floats_have_six_decimals(self, folder, value):
        back = json.loads(self.text(folder, {"nested": [value]}))["nested"][0]
        assert back == round(value, 6)
        assert math.copysign(1, back) == 1 or back < 0  # no -0.0

    @some
    @given(value=st.floats(width=32, allow_nan=False, allow_infinity=False))
    def test_numpy_floats_are_written_as_pythons(self, folder, value):
        assert self.text(folder, [np.float32(value), np.float64(value)]) == self.text(folder, [value, value])

    @some
    @given(value=st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.lists(v, max_size=3)))
    def test_what_is_no_float_is_kept(self, folder, value):
        assert json.loads(self.text(folder, {"value": value})) == {"value": value}

    @some
    @given(value=st.dictionaries(st.text(), FINITE | st.text()))
    def test_lines_end_with_a_line_feed_alone(self, folder, value):
        text = self.text(folder, value)
        assert text.endswith("\n")
        assert not text.endswith("\n\n")
        assert "\r" not in text

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan")])
    def test_what_is_not_finite_is_refused(self, tmp_path, value):
        (tmp_path / "a.json").write_text("old")
        with pytest.raises(ValueError, match="JSON"):
            write_json(tmp_path / "a.json", {"deep": [value]})
        assert files(tmp_path) == {"a.json": b"old"}


class TestCsv:
    def text(self, folder, rows):
        write_csv(folder / "a.csv", rows)
        return (folder / "a.csv").read_bytes().decode()

    def test_columns_are_in_the_first_rows_order(self, folder):
        assert self.text(folder, [{"b": 1, "a": "x"}, {"a": "y", "b": 2}]) == "b,a\n1,x\n2,y\n"

    @some
    @given(value=FINITE)
    def test_floats_have_six_decimals(self, folder, value):
        _, back, _ = self.text(folder, [{"value": value}]).split("\n")
        assert float(back) == round(value, 6)
        assert not back.startswith("-0.0") or float(back) < 0

    @some
    @given(value=st.floats(width=32, allow_nan=False, allow_infinity=False))
    def test_numpy_floats_are_written_as_pythons(self, folder, value):
        assert self.text(folder, [{"v": np.float32(value)}]) == self.text(folder, [{"v": value}])

    @some
    @given(names=st.lists(st.text(st.characters(exclude_characters="\r\n\0<", exclude_categories=["Cs"]), min_size=1)))
    def test_a_csv_reader_gets_the_text_back(self, folder, names):
        """Where it is no formula."""
        names = [name for name in ["first", *names] if not {name[0], name[-1]} & set("=+-@\t")]
        rows = [{"label": name, "predicted": name[::-1]} for name in names]
        assert list(csv.DictReader(io.StringIO(self.text(folder, rows), newline=""))) == rows

    @pytest.mark.parametrize("name", ["=1+1", "+cmd", "-a", "@SUM(A1)", "\t=1", "-", "--1", "1"])
    def test_a_text_is_no_formula_of_a_spreadsheet(self, folder, name):
        cell = self.text(folder, [{"label": name}]).splitlines()[1].strip('"')
        assert cell == (name if name == "1" else f"'{name}")

    @pytest.mark.parametrize("name", ["-1", "+1", "-0.5", "-1e-3", "<=50K", ">50K", "a < b", "<5", "3-4"])
    def test_a_number_and_a_comparison_are_as_they_are(self, folder, name):
        assert self.text(folder, [{"label": name}]) == f"label\n{name}\n"

    @pytest.mark.parametrize("name", ["</script><script>x", "<b>", "<!--", "a<img src=x>"])
    def test_a_text_is_no_tag_of_html(self, folder, name):
        """The page of `dvc plots` has the cells in a script, as they are."""
        text = self.text(folder, [{"label": name, "<b>": "x"}])
        assert "<" not in text
        assert "‹" in text

    def test_half_a_surrogate_pair_is_written(self, folder):
        assert self.text(folder, [{"label": "\ud800"}]) == "label\n\\ud800\n"

    def test_lines_end_with_a_line_feed_alone(self, folder):
        assert self.text(folder, [{"a": "x", "b": 0.5}, {"a": "", "b": 1.5}]) == "a,b\nx,0.5\n,1.5\n"


WRITERS = {
    "npz": lambda path: write_npz(path, {"new": np.arange(5000.0)}),
    "json": lambda path: write_json(path, {"new": list(range(5000))}),
    "csv": lambda path: write_csv(path, [{"new": i} for i in range(5000)]),
    "text": lambda path: write_text(path, "new\n" * 5000),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
class TestReplacing:
    def test_folders_are_made(self, tmp_path, write):
        write(tmp_path / "deep" / "er" / "a")
        assert list(files(tmp_path)) == [os.path.join("deep", "er", "a")]

    @pytest.mark.skipif(os.name == "nt", reason="no such permissions there")
    @pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
    def test_the_umask_says_who_may_read_it(self, tmp_path, write, mask):
        before = os.umask(mask)
        try:
            write(tmp_path / "a")
        finally:
            os.umask(before)
        assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~mask

    @pytest.mark.parametrize("old", [{}, {"a": b"old"}], ids=["absent", "old"])
    @pytest.mark.parametrize("call", ["fsync", "replace"])
    def test_an_error_leaves_the_old_file_and_nothing_else(self, tmp_path, monkeypatch, write, old, call):
        for name, content in old.items():
            (tmp_path / name).write_bytes(content)

        def full(*_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, call, full)
        with pytest.raises(OSError, match="No space left"):
            write(tmp_path / "a")
        assert files(tmp_path) == old

    def test_an_interrupt_leaves_the_old_file_and_nothing_else(self, tmp_path, monkeypatch, write):
        (tmp_path / "a").write_bytes(b"old")

        def interrupt(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / "a")
        assert files(tmp_path) == {"a": b"old"}


KILLED = """
import os, signal, sys
import numpy as np
from kdlib.io.artifacts import write_npz

def killing(call):
    def killed(*arguments):
        if sys.argv[3] == "after":
            call(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)
    return killed

setattr(os, sys.argv[2], killing(getattr(os, sys.argv[2])))
write_npz(sys.argv[1], {"new": np.arange(5000.0)})
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize(
    ("call", "when", "survivor"),
    [("fsync", "before", "old"), ("replace", "before", "old"), ("replace", "after", "new")],
)
def test_a_kill_leaves_the_old_file_or_the_new_one(tmp_path, call, when, survivor):
    write_npz(tmp_path / "a.npz", {"old": np.zeros(3)})
    process = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "a.npz", call, when])
    assert process.returncode == -signal.SIGKILL
    assert list(read_npz(tmp_path / "a.npz")) == [survivor]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_kill_leaves_no_half_file_where_there_was_none(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, tmp_path / "a.npz", "fsync", "before"])
    assert not (tmp_path / "a.npz").exists()


def test_what_a_kill_left_is_in_nobodys_way(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, tmp_path / "a.npz", "fsync", "before"])
    write_npz(tmp_path / "a.npz", {"new": np.zeros(3)})
    assert list(read_npz(tmp_path / "a.npz")) == ["new"]
