"""Parquet tables, by pyarrow, as texts that give back each number bit for bit."""

from functools import partial
from pathlib import Path

from kdlib.data.table import Table, column_names
from kdlib.io import npz_reader
from kdlib.io.errors import UserError

PLENTY = 10_000_000  # cells in however few bytes; beyond, a bit for each
BATCH = 65_536  # rows that are read at once of a file that is not read as a whole


def read_parquet(path):
    """`Table` of a `.parquet`. Raises UserError if it is damaged, or pyarrow is not installed.

    A file of `kdlib.io.npz_reader.MAPPED` bytes or more is read in batches of rows, again for each pass.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError(f"{path}: Parquet needs pyarrow: pip install -r requirements-tables.txt") from None
    try:
        file = pyarrow.parquet.ParquetFile(path)
        cells, size = file.metadata.num_rows * file.metadata.num_columns, Path(path).stat().st_size
        if cells > PLENTY + 8 * size:
            raise ValueError(f"{cells:,} cells in {size:,} bytes")
        large = size >= npz_reader.MAPPED
        for batch in file.iter_batches(BATCH) if large else ():
            batch.validate(full=True)
        content = file.schema_arrow.empty_table() if large else file.read()
        content.validate(full=True)
    except MemoryError:
        raise
    except Exception as error:  # pyarrow raises several kinds for damaged bytes
        reason = " ".join(str(error).split())[:150]
        raise UserError(f"{path}: not a readable Parquet file ({reason}); write it again") from None
    keys = dict(zip(column_names(path, content.column_names), content.column_names, strict=True))
    kinds = {name: column.type for name, column in zip(keys, content.columns, strict=True)}
    declared = frozenset(name for name, kind in kinds.items() if pyarrow.types.is_dictionary(kind))
    numeric = frozenset(name for name, kind in kinds.items() if _numeric(kind, pyarrow.types))
    rows = range(1, file.metadata.num_rows + 1)
    if not large:
        return _table(path, rows, dict(zip(keys, content.columns, strict=True)), declared, numeric, pyarrow)

    def batches(names):
        counts = [0]
        for batch in file.iter_batches(BATCH, columns=[keys[name] for name in names]):
            columns = {name: pyarrow.chunked_array([batch.column(keys[name])]) for name in names}
            yield _table(path, rows[counts[-1] : counts[-1] + batch.num_rows], columns, declared, numeric, pyarrow)
            counts.append(counts[-1] + batch.num_rows)

    def whole(name):
        return [cell for block in batches([name]) for cell in block.cells(name)]

    return Table(
        str(path), {name: partial(whole, name) for name in keys}, rows, declared, batches=batches, numeric=numeric
    )


def _numeric(kind, types):
    return types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)


def _table(path, rows, columns, declared, numeric, pyarrow):
    """`Table` of Arrow's columns, {name: of the rows}."""
    texts = {name: partial(_texts, path, name, column, pyarrow) for name, column in columns.items()}
    plain = (pyarrow.types.is_integer, pyarrow.types.is_floating)
    full = {n: c for n, c in columns.items() if any(check(c.type) for check in plain) and not c.null_count}
    return Table(str(path), texts, rows, declared, arrays={n: c.to_numpy for n, c in full.items()}, numeric=numeric)


def _texts(path, name, column, pyarrow):
    """A list of texts. Floats by way of float64, the shortest that gives them back."""
    types, kind = pyarrow.types, column.type
    if types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if types.is_floating(kind):
        return ["" if value is None else repr(value) for value in column.cast(pyarrow.float64()).to_pylist()]
    if types.is_timestamp(kind):
        column = column.cast(pyarrow.timestamp(kind.unit))  # it keeps UTC
    plain = (types.is_integer, types.is_decimal, types.is_boolean, types.is_date, types.is_timestamp, types.is_null)
    if not any(check(kind) for check in (*plain, types.is_string, types.is_large_string)):
        raise UserError(f"{path}: column {name} is {kind}; needs numbers, texts, truth values or dates: drop it")
    return [(text or "").strip() for text in column.cast(pyarrow.string()).to_pylist()]
