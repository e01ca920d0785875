"""Read Parquet tables with pyarrow. Numbers become texts that give back the same bits."""

from functools import partial
from pathlib import Path

from kdlib.data.table import Table, column_names
from kdlib.io import npz_reader
from kdlib.io.errors import UserError

FREE_CELLS = 10_000_000  # a file of s bytes may have FREE_CELLS + 8 s cells
BATCH_ROWS = 65_536  # rows that are read at once if the file is not read as a whole


def read_parquet(path: Path | str) -> Table:
    """Read a Parquet file.

    A file of `kdlib.io.npz_reader.MIN_MAPPED_BYTES` or more is not held in memory: each pass over a column reads it
    again in batches of BATCH_ROWS.

    Parameters
    ----------
    path : Path or str

    Returns
    -------
    Table

    Raises
    ------
    UserError
        If the file is damaged, has no rows, or has far more cells than its size allows; if two columns have one name,
        or a name is not allowed; if pyarrow is not installed. A column of lists or other nested values raises it when
        its cells are read.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError(f"{path}: Parquet needs pyarrow: pip install 'kdlib[tables]'") from None
    try:
        file = pyarrow.parquet.ParquetFile(path)
        cells = file.metadata.num_rows * file.metadata.num_columns
        size = Path(path).stat().st_size
        if cells > FREE_CELLS + 8 * size:
            raise ValueError(f"{cells:,} cells in {size:,} bytes")
        large = size >= npz_reader.MIN_MAPPED_BYTES
        for batch in file.iter_batches(BATCH_ROWS) if large else ():
            batch.validate(full=True)
        content = file.schema_arrow.empty_table() if large else file.read()
        content.validate(full=True)
    except MemoryError:
        raise
    except Exception as error:  # pyarrow raises several kinds for damaged bytes
        reason = " ".join(str(error).split())[:150]
        raise UserError(f"{path}: not a readable Parquet file ({reason}); write it again") from None
    keys = dict(zip(column_names(path, content.column_names), content.column_names, strict=True))
    types = {name: column.type for name, column in zip(keys, content.columns, strict=True)}
    declared = frozenset(name for name, kind in types.items() if pyarrow.types.is_dictionary(kind))
    numeric = frozenset(name for name, kind in types.items() if _is_numeric(kind, pyarrow.types))
    rows = range(1, file.metadata.num_rows + 1)
    if not large:
        return _table(path, rows, dict(zip(keys, content.columns, strict=True)), declared, numeric, pyarrow)

    def read_batches(names):
        start = 0
        for batch in file.iter_batches(BATCH_ROWS, columns=[keys[name] for name in names]):
            columns = {name: pyarrow.chunked_array([batch.column(keys[name])]) for name in names}
            yield _table(path, rows[start : start + batch.num_rows], columns, declared, numeric, pyarrow)
            start += batch.num_rows

    def all_cells(name):
        return [cell for batch in read_batches([name]) for cell in batch.cells(name)]

    return Table(
        str(path),
        {name: partial(all_cells, name) for name in keys},
        rows,
        declared,
        read_batches=read_batches,
        numeric_columns=numeric,
    )


def _is_numeric(kind, types):
    return types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)


def _table(path, rows, columns, declared, numeric, pyarrow):
    """Make the `Table` of {name: Arrow's column}."""
    texts = {name: partial(_texts, path, name, column, pyarrow) for name, column in columns.items()}
    number_checks = (pyarrow.types.is_integer, pyarrow.types.is_floating)
    arrays = {
        name: column.to_numpy
        for name, column in columns.items()
        if any(check(column.type) for check in number_checks) and not column.null_count
    }
    return Table(str(path), texts, rows, declared, arrays=arrays, numeric_columns=numeric)


def _texts(path, name, column, pyarrow):
    """Return a column's cells. A float becomes the shortest text that gives back its float64."""
    types = pyarrow.types
    kind = column.type
    if types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = kind.value_type
    if types.is_floating(kind):
        return ["" if value is None else repr(value) for value in column.cast(pyarrow.float64()).to_pylist()]
    if types.is_timestamp(kind):
        column = column.cast(pyarrow.timestamp(kind.unit))  # it keeps UTC
    plain = (types.is_integer, types.is_decimal, types.is_boolean, types.is_date, types.is_timestamp, types.is_null)
    if not any(check(kind) for check in (*plain, types.is_string, types.is_large_string)):
        raise UserError(f"{path}: column {name} is {kind}; needs numbers, texts, truth values or dates: drop it")
    return [(text or "").strip() for text in column.cast(pyarrow.string()).to_pylist()]
