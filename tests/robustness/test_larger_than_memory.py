"""More rows than memory: what is mapped and made piece by piece gives the bytes of what is held."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from kdlib.backends import numpy_backend
from kdlib.backends.ranks import mean_of_chunks
from kdlib.data import mapped_rows, parquet, scaled
from kdlib.data.dataset import Dataset
from kdlib.evaluation import metrics
from kdlib.io import chunks, npz_reader
from kdlib.io.artifacts import read_npz, write_npz
from kdlib.io.chunks import LazyAstype
from kdlib.io.errors import UserError
from kdlib.learning import checkpoints, epoch, lazy_targets, validation
from kdlib.numerics import exact
from kdlib.preparation import column_warnings, labels, scaling, sources
from kdlib.preparation.array_files import examples_from_npz
from tests.conftest import MAINS, ROOT, files, quick, quick_params

NPZ, ROWS, CLASSES = "data/raw/rows.npz", "data/raw/rows.npy", "data/raw/classes.npy"
ROUNDS = 5


def map_everything(monkeypatch, seed=0):
    """Map all arrays from here on, and give chunks random sizes."""
    size = random.Random(seed).randint
    for module, name, value in (
        (npz_reader, "MIN_MAPPED_BYTES", 256), (chunks, "MIN_FILE_BYTES", 1), (chunks, "CHUNK_BYTES", size(40, 4000)),
        (lazy_targets, "MAX_ARRAY_ELEMENTS", 0), (lazy_targets, "CHUNK_ROWS", size(1, 99)),
        (epoch, "MAX_BUFFERED_LOGITS", size(1, 3000)),
        (epoch, "MIN_UINT32_EXAMPLES", 0), (numpy_backend.NumpyBackend, "max_held", 0),
        (validation, "CHUNK_ROWS", size(1, 30)), (scaled, "CHUNK_ROWS", size(1, 50)),
        (metrics, "BLOCK_LOGITS", size(1, 500)),
        (column_warnings, "CHUNK_ELEMENTS", size(1, 300)), (parquet, "BATCH_ROWS", size(1, 60)),
        (scaling, "CHUNK_ELEMENTS", size(1, 900)), (labels, "CHUNK_ROWS", size(1, 60)),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)


def images(n=150):
    generator = np.random.default_rng(0)
    y = np.arange(n) % 3
    return (generator.integers(0, 120, (n, 4, 3)) + 40 * y[:, None, None]).astype(np.uint8), y


def numbers(n=150):
    """(n, 5) float32 with zeros of both signs, one column alike."""
    generator = np.random.default_rng(0)
    y = np.arange(n) % 3
    x = (generator.normal(size=(n, 5)) + y[:, None]).astype(np.float32)
    x[::7, 1], x[::5, 2], x[:, 4] = -0.0, 0.0, 3
    return x, y


def write_source(x, y, name):
    Path("data/raw").mkdir(parents=True)
    if name == NPZ:
        np.savez(NPZ, x_train=x[:90], y_train=y[:90], x_test=x[90:], y_test=y[90:])
    else:
        np.save(ROWS, np.asfortranarray(x))
        np.save(CLASSES, y)


SOURCES = {
    "images": (images, NPZ, {"scaling": "minmax"}),
    "numbers": (numbers, NPZ, {"scaling": "standard", "labeled_fraction": 0.5}),
    "some of the numbers": (numbers, NPZ, {"scaling": "standard", "max_samples": 100}),
    "rows": (images, ROWS, {"scaling": "standard", "target": CLASSES, "splits": 2}),
    "synthetic rows": (numbers, ROWS, {"target": CLASSES, "transfer": {"synthesis": "mixup", "times": 2}}),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_prepare_in_blocks_of_any_size_writes_the_same_dataset(tmp_path, monkeypatch, kind):
    make, name, options = SOURCES[kind]
    monkeypatch.chdir(tmp_path)
    write_source(*make(), name)
    params = quick_params(prepare={"dataset": name, **options})
    MAINS["prepare"](params)
    held = Path("data/dataset.npz").read_bytes()
    for seed in range(ROUNDS):
        map_everything(monkeypatch, seed)
        MAINS["prepare"](params)
        assert Path("data/dataset.npz").read_bytes() == held


def table(n=150):
    """{column: cells} of all kinds, some of which lack values."""
    y = np.arange(n) % 3
    generator = np.random.default_rng(0)
    x = generator.normal(size=(n, 3)) + y[:, None]
    return {
        "narrow": x[:, 0].astype(np.float32), "gaps": [None if k % 11 == 0 else v for k, v in enumerate(x[:, 1])],
        "late gap": [None if k == n - 1 else v for k, v in enumerate(x[:, 2])], "same": np.zeros(n),
        "zeros": np.where(y, 0.0, -0.0), "integers": generator.integers(-(2**62), 2**62, n), "rising": np.arange(n),
        "twin": np.arange(n), "town": ["ABC"[k % 3] if k % 7 else f"rare {k}" for k in range(n)], "yes": y == 1,
        "class": [f"c{k}" for k in y],
    }  # fmt: skip


def test_a_parquet_in_batches_gives_the_same_dataset_and_remarks(tmp_path, monkeypatch, caplog):
    arrow, files = (
        pytest.importorskip(name, reason="no pyarrow (pip install pyarrow)") for name in ("pyarrow", "pyarrow.parquet")
    )
    monkeypatch.chdir(tmp_path)
    Path("data/raw").mkdir(parents=True)
    files.write_table(arrow.table(table()), "data/raw/own.parquet", row_group_size=37)
    params = quick_params(prepare={"dataset": "data/raw/own.parquet", "target": "class", "scaling": "standard"})
    found = []
    for seed in range(ROUNDS):
        caplog.clear()
        MAINS["prepare"](params)
        told = [
            record.message
            for record in caplog.records
            if "own.parquet" in record.message and "pages" not in record.message
        ]
        found.append((Path("data/dataset.npz").read_bytes(), told))
        map_everything(monkeypatch, seed)
    assert all(each == found[0] for each in found)
    assert any("twin is the same as rising" in line for line in found[0][1])


def test_a_cell_of_a_parquet_in_batches_is_told_by_its_row(tmp_path, monkeypatch):
    arrow, files = (
        pytest.importorskip(name, reason="no pyarrow (pip install pyarrow)") for name in ("pyarrow", "pyarrow.parquet")
    )
    map_everything(monkeypatch)
    content = table() | {"narrow": [*map(str, range(140)), "lime", *map(str, range(9))]}
    files.write_table(arrow.table(content), tmp_path / "own.parquet")
    with pytest.raises(UserError, match="row 141, column narrow: 'lime' is no number"):
        sources.load_examples(str(tmp_path / "own.parquet"), "class")
    content = table() | {"narrow": [*range(140), 1e301, *range(9)]}
    files.write_table(arrow.table(content), tmp_path / "own.parquet")
    with pytest.raises(UserError, match=r"row 141, column narrow: '1e\+301' is no number of at most"):
        sources.load_examples(str(tmp_path / "own.parquet"), "class")
    files.write_table(arrow.table(table() | {"class": [*["a", "b"] * 74, "a", None]}), tmp_path / "own.parquet")
    with pytest.raises(UserError, match="row 150, column class: '' is no class"):
        sources.load_examples(str(tmp_path / "own.parquet"), "class")


SWEPT = {"temperature": [1.0, 4.0], "alpha": [0.5, 1.0]}
TRAINED = {
    "images, a sweep": (images, NPZ, {}, {"distill": SWEPT}),
    "half of the labels, two splits": (numbers, ROWS, {"labeled_fraction": 0.5, "target": CLASSES, "splits": 2}, {}),
    "dkd": (images, NPZ, {}, {"distill": {"loss": "dkd"}}),
    "smoothed labels": (images, NPZ, {}, {"distill": {"loss": "ls"}}),
    "standardized": (images, NPZ, {}, {"distill": {"standardize_logits": True, **SWEPT}}),
}


@pytest.mark.parametrize("kind", TRAINED)
def test_mapped_and_in_memory_all_stages_write_the_same_bytes(tmp_path, monkeypatch, kind):
    make, name, prepare, changes = TRAINED[kind]
    params, found = quick_params(prepare={"dataset": name, **prepare}, **changes), []
    for folder in ("held", "mapped"):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        write_source(*make(), name)
        if folder == "mapped":
            map_everything(monkeypatch)
        for main in MAINS.values():
            main(params)
        found.append(files(tmp_path / folder))
    assert found[0] == found[1]
    assert len(found[0]) > 20


@pytest.fixture
def mapped_file(tmp_path, monkeypatch):
    """The path of a dataset that is mapped, and its arrays."""
    monkeypatch.chdir(tmp_path)
    write_source(*images(), NPZ)
    MAINS["prepare"](quick_params(prepare={"dataset": NPZ}))
    monkeypatch.setattr(npz_reader, "MIN_MAPPED_BYTES", 256)
    return Path("data/dataset.npz")


class TestMaps:
    def test_what_is_large_is_mapped_and_cannot_be_written_to(self, mapped_file):
        dataset = Dataset.load(mapped_file)
        assert not dataset.x.flags.writeable
        assert isinstance(dataset.x.base, np.memmap)
        assert dataset.class_names == ["0", "1", "2"]

    def test_a_changed_byte_is_refused(self, mapped_file):
        good = mapped_file.read_bytes()
        start = good.index(Dataset.load(mapped_file).x.tobytes())
        for position in (start, start + 799, start + 1799, start - 1, start - 60, start - 100):
            mapped_file.write_bytes(good[:position] + bytes([good[position] ^ 4]) + good[position + 1 :])
            with pytest.raises(UserError, match=r"dataset\.npz") as refused:
                Dataset.load(mapped_file)
            assert len(str(refused.value)) < 300

    @pytest.mark.parametrize("lost", [1, 30, 500, 3000])
    def test_a_truncated_file_is_refused(self, mapped_file, lost):
        mapped_file.write_bytes(mapped_file.read_bytes()[:-lost])
        with pytest.raises(UserError, match=r"dataset\.npz") as refused:
            Dataset.load(mapped_file)
        assert len(str(refused.value)) < 300

    def test_a_changed_byte_of_a_source_is_refused_by_its_crc(self, mapped_file):
        good = Path(NPZ).read_bytes()
        start = good.index(images()[0][:90].tobytes())
        Path(NPZ).write_bytes(good[: start + 500] + bytes([good[start + 500] ^ 1]) + good[start + 501 :])
        with pytest.raises(UserError, match="CRC"):
            examples_from_npz(NPZ)

    def test_a_member_that_the_directory_places_elsewhere_is_refused(self, mapped_file):
        good = bytearray(mapped_file.read_bytes())
        entry = good.index(b"PK\1\2")
        good[entry + 42] ^= 1  # where its header begins
        mapped_file.write_bytes(good)
        with pytest.raises(UserError, match=r"dataset\.npz"):
            Dataset.load(mapped_file)

    @pytest.mark.parametrize("dtype", ["u1", "<f4", ">f8", "?", "<U3", "<i8"])
    @pytest.mark.parametrize("order", ["C", "F"])
    def test_maps_have_what_reading_gives(self, tmp_path, monkeypatch, dtype, order):
        array = np.asarray(np.arange(600).reshape(30, 20) % 7, dtype, order=order)
        for save, name in ((np.savez, "a.npz"), (np.savez_compressed, "b.npz")):
            save(tmp_path / name, a=array)
            monkeypatch.setattr(npz_reader, "MIN_MAPPED_BYTES", 1 << 26)
            held = read_npz(tmp_path / name)["a"]
            monkeypatch.setattr(npz_reader, "MIN_MAPPED_BYTES", 256)
            mapped = read_npz(tmp_path / name)["a"]
            assert mapped.dtype == held.dtype
            assert np.array_equal(mapped, held)
            assert np.array_equal(mapped, array)


def test_writing_in_pieces_writes_the_same_bytes(tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    arrays = {
        "a": generator.normal(size=(7, 5, 3)),
        "b": np.arange(40.0) - 20,
        "c": np.array("text"),
        "d": np.eye(9)[:0],
    }
    arrays |= {"f": np.asfortranarray(generator.normal(size=(20, 4)))}
    write_npz(tmp_path / "whole.npz", arrays | {"e": arrays["a"].astype(np.float32)})
    for size in (8, 50, 100, 333):
        monkeypatch.setattr(chunks, "CHUNK_BYTES", size)
        write_npz(tmp_path / "pieces.npz", arrays | {"e": LazyAstype(arrays["a"], np.float32)})
        assert (tmp_path / "pieces.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


@pytest.mark.parametrize("seed", range(20))
def test_a_mean_of_pieces_has_the_bits_of_the_mean_of_the_whole(seed):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(3, 1000)) * np.ldexp(1.0, generator.integers(-40, 40, (3, 1000)))
    cuts = np.sort(generator.integers(0, 1001, 5))
    assert np.array_equal(mean_of_chunks(np.split(x, cuts, axis=1), x.shape[1]), exact.mean(x, axis=1))


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.98])
def test_a_scaling_by_pieces_is_that_of_whole_columns(share):
    x = (np.random.default_rng(0).random((1000, 3)) < share) * np.array([2.0, 1e-9, 3e20]) + np.array([0.0, 1.0, -1.0])
    spread = x.max(axis=0) - x.min(axis=0)
    part = ((x - x.min(axis=0)) / spread).T
    mean = exact.mean(part, axis=1)
    difference = part - mean[:, None]
    offset, scale = scaling.fit_scaling(x, "standard", False)
    assert np.array_equal(offset, x.min(axis=0) + spread * mean)
    assert np.array_equal(scale, 1 / (spread * np.sqrt(exact.mean(difference * difference, axis=1))))


def test_rows_of_several_arrays_are_those_of_one():
    x, more = images()[0], images(20)[0]
    rows = mapped_rows.ConcatenatedRows([x, more], np.float64)
    whole = np.concatenate([x, more]).reshape(170, 12).astype(np.float64)
    assert np.array_equal(rows[140:160], whole[140:160])
    assert np.array_equal(rows[np.array([0, 169, 3, 150])], whole[[0, 169, 3, 150]])
    kept = rows.select(np.arange(1, 170, 2)).select(np.arange(0, 85, 3))
    assert np.array_equal(kept[:], whole[1::2][::3])
    for arrays in ([x], [x, more]):
        none = mapped_rows.ConcatenatedRows(arrays, np.float64)[0:0]
        assert none.shape == (0, 12)
        assert none.dtype == np.float64


def test_no_rows_have_no_equal_ones():
    assert mapped_rows.equal_rows(np.empty((0, 3))) is None
    assert mapped_rows.equal_rows(np.empty((2, 0))).tolist() == [0, 0]


def test_a_number_of_rows_may_be_one_of_numpy():
    n = scaled.CHUNK_ROWS + 2
    for count in (n, np.int64(n), np.uint8(2)):
        expected = [list(range(scaled.CHUNK_ROWS)), [n - 2, n - 1]] if count == n else [[0, 1]]
        assert [rows.tolist() for rows in scaled.row_chunks(count)] == expected


def test_a_checkpoint_knows_targets_that_are_not_held(mapped_file, monkeypatch):
    monkeypatch.setattr(lazy_targets, "MAX_ARRAY_ELEMENTS", 0)
    dataset = Dataset.load(mapped_file)
    rows = dataset.rows("train")

    def digest(dataset, rows):
        own = lazy_targets.one_hot(dataset, [rows], [0])
        return checkpoints.run_fingerprint([dataset.scaled(rows), own])

    assert digest(dataset, rows) == digest(Dataset.load(mapped_file), rows)
    assert digest(dataset, rows) != digest(dataset, rows[1:])
    MAINS["prepare"](quick_params(prepare={"dataset": NPZ}, seed=1))
    assert digest(dataset, rows) != digest(Dataset.load(mapped_file), rows)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda: np.save(CLASSES, np.arange(149) % 3), "classes y (n,)"),
        (lambda: np.save(ROWS, np.full((150, 4), np.nan)), "NaN or infinite"),
        (lambda: Path(ROWS).write_bytes(Path(ROWS).read_bytes()[:-1]), "not a readable .npy"),
        (lambda: Path(CLASSES).unlink(), "not found"),
        (lambda: np.save(ROWS, np.array([{}]), allow_pickle=True), "pickle"),
    ],
)
@pytest.mark.parametrize("least", [256, 1 << 26], ids=["mapped", "read"])
def test_rows_that_cannot_be_used_are_told(tmp_path, monkeypatch, change, words, least):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(npz_reader, "MIN_MAPPED_BYTES", least)
    write_source(*images(), ROWS)
    change()
    with pytest.raises(UserError) as refused:
        MAINS["prepare"](quick_params(prepare={"dataset": ROWS, "target": CLASSES}))
    assert words in str(refused.value)
    assert not Path("data/dataset.npz").exists()


@pytest.mark.parametrize("target", [None, "y", "classes.npy", "data/raw/../classes.npy"])
def test_the_classes_of_rows_are_a_file_that_dvc_sees(target):
    with pytest.raises(ValueError, match=r"target|data/raw"):
        quick_params(prepare={"dataset": ROWS, "target": target})


LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[1]), int(sys.argv[1])))
sys.argv = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_DATA as Linux has it")
def test_a_dataset_larger_than_the_memory_that_there_may_be_trains(tmp_path):
    """2 GB of rows, float64 of which would be 17 GB, and 500 MB for each process."""
    content = quick(prepare={"dataset": ROWS, "target": CLASSES}, replicas=1, checkpoint=None)
    for section in ("teacher", "student"):
        content[section] |= {"epochs": 1, "batch_size": 256}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content), "utf-8")
    (tmp_path / "data/raw").mkdir(parents=True)
    n = 2**21
    x = np.lib.format.open_memmap(tmp_path / ROWS, "w+", np.uint8, (n, 32, 32))
    y = np.random.default_rng(0).integers(0, 4, n, dtype=np.uint8)
    for start in range(0, n, 4096):
        x[start : start + 4096] = (np.arange(1024).reshape(32, 32) * (y[start : start + 4096, None, None] + 1)) % 256
        numbers = np.arange(start, start + 4096, dtype="<u4")  # no two rows are equal
        x[start : start + 4096, 0, :4] = numbers.view(np.uint8).reshape(-1, 4)
    x.flush()
    np.save(tmp_path / CLASSES, y)
    for stage in ("prepare", "train_teacher", "train_baseline", "distill", "evaluate"):
        extra = ["--deployed="] if stage == "evaluate" else []
        command = [sys.executable, "-c", LIMITED, str(500 * 10**6), f"stages.{stage}", *extra]
        environment = {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "2", "PATH": "/usr/bin:/bin"}
        # Kernels that an earlier run left in the user's folder would be loaded, with LLVM, which takes the memory.
        environment["NUMBA_CACHE_DIR"] = str(tmp_path / "kernels")
        process = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert process.returncode == 0, f"{stage}: {process.stderr}"
    assert "student" in process.stdout
    shutil.rmtree(tmp_path / "data")  # pytest keeps the folders of three runs
