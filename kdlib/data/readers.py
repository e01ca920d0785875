"""Readers of table files: pyarrow reads Parquet, Python's own csv module reads CSV."""

import csv
import gzip
import re
import zlib
from array import array
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from pathlib import Path

from kdlib.data.name_checks import join_names
from kdlib.data.parquet import read_parquet
from kdlib.data.parsing import parse_number
from kdlib.data.table import Table, column_names
from kdlib.io import npz_reader
from kdlib.io.errors import UserError

PARQUET_SUFFIXES = (".parquet", ".pq")
# The name of a table's file ends with one of these.
TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz", *PARQUET_SUFFIXES)
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
LIKELY_DECIMAL_MARKS = {",": ".", ";": ","}  # {delimiter: decimal mark that it suggests}
CHUNK_ROWS = 65_536  # rows of a column that are one text in memory
CELL_SEPARATOR = "\0"  # no cell contains it
PREVIEW_LINES = 50  # lines in which delimiter and header are sought
MAX_TITLE_LINES = 10  # above the header
GZIP_MARK = b"\x1f\x8b"
BINARY_MARKS = {
    b"PK\x03\x04": "a ZIP archive, as an .xlsx workbook is; export it as CSV",
    b"\xd0\xcf\x11\xe0": "an .xls workbook; export it as CSV",
    b"PAR1": "a Parquet file; name it .parquet",
    b"BZh": "packed by bzip2; unpack it, or pack it by gzip",
    b"\xfd7zXZ": "packed by xz; unpack it, or pack it by gzip",
    b"(\xb5/\xfd": "packed by zstd; unpack it, or pack it by gzip",
}


def read_table(path: Path | str) -> Table:
    """Read a table from a Parquet file or a CSV file.

    Numbers stay texts, because a reader that guesses types turns `007` into 7. For a CSV file the reader finds the
    delimiter (one of `DELIMITERS`) and the text encoding: UTF-8, UTF-16 with a byte-order mark, or else Windows-1252,
    which has Latin-1's letters. It leaves out comments and titles above the header, row names as R writes them, and
    delimiters at the ends of rows; a note in the table names what it left out.

    Parameters
    ----------
    path : Path or str
        A name that ends with one of `PARQUET_SUFFIXES` is read by pyarrow. Any other file is a CSV with a header, maybe
        packed by gzip.

    Returns
    -------
    Table

    Raises
    ------
    UserError
        If the file is missing, damaged, of another format, or far larger when unpacked than its size allows; if it has
        no header or no rows; if two columns have one name, or a name is not allowed; if a row has another length than
        the header; if pyarrow is needed and not installed.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: not found; a queued run has what `dvc add` and git know of")
    if str(path).lower().endswith(PARQUET_SUFFIXES):
        return read_parquet(path)
    with open(path, "rb") as file:
        first = file.read(8)
    for mark, format_found in BINARY_MARKS.items():
        if first.startswith(mark):
            raise UserError(f"{path}: no CSV table, but {format_found}")
    packed = first.startswith(GZIP_MARK)
    open_file = gzip.open if packed else open
    try:
        if packed:
            _refuse_expansion(path)
        with open_file(path, "rb") as file:
            is_utf16 = file.read(2) in (b"\xff\xfe", b"\xfe\xff")
        for encoding in ("utf-16",) if is_utf16 else ("utf-8-sig", "cp1252"):
            try:
                with open_file(path, "rt", newline="", encoding=encoding) as file:
                    notes = ["it is packed by gzip"] if packed else []
                    notes += ["its text is not UTF-8; it was read as Windows-1252"] if encoding == "cp1252" else []
                    return _read_csv(path, file, notes)
            except UnicodeDecodeError:
                continue
    except (csv.Error, UnicodeError) as error:
        raise UserError(f"{path}: not a CSV table with a header: {error}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path}: a damaged gzip file ({error}); copy it again") from None
    raise UserError(f"{path}: not a CSV table with a header: its bytes are no text in UTF-8 or Windows-1252")


def _refuse_expansion(path):
    """Refuse a gzip file that unpacks to more than MAX_EXPANSION times its size plus FREE_BYTES; check its CRC."""
    max_bytes = npz_reader.MAX_EXPANSION * Path(path).stat().st_size + npz_reader.FREE_BYTES
    unpacked = 0
    with gzip.open(path) as file:
        while block := file.read(npz_reader.CHUNK_BYTES):
            unpacked += len(block)
            if unpacked > max_bytes:
                raise UserError(
                    f"{path}: unpacks to over {npz_reader.MAX_EXPANSION} times its size; unpack it beforehand"
                )


def _read_csv(path, file, notes):
    layout = _layout(path, list(islice(file, PREVIEW_LINES)))
    file.seek(0)
    for _ in range(layout.skipped):
        file.readline()
    # strict: an open quote must not swallow the rows after it
    reader = csv.reader(file, delimiter=layout.delimiter, skipinitialspace=True, strict=True)
    header = next(filter(None, reader), [])
    names = column_names(path, header[: layout.width])
    if not names:
        raise UserError(f"{path}: not a CSV table with a header: it is empty")
    _refuse_data_as_header(path, names)
    chunks, numbers, trailing_delimiters = _joined_cells(path, reader, names, layout)
    delimiter = layout.delimiter
    about_delimiter = [f"columns are separated by a {DELIMITERS[delimiter]}"] if delimiter != "," else []
    notes = [*about_delimiter, *notes, *layout.notes]
    notes += ["rows end with a delimiter, which is left out"] if trailing_delimiters else []
    columns = {
        name: lambda texts=texts: list(chain.from_iterable(text.split(CELL_SEPARATOR) for text in texts))
        for name, texts in zip(names, chunks, strict=True)
    }
    return Table(str(path), columns, numbers, notes=tuple(notes), decimal_mark=LIKELY_DECIMAL_MARKS.get(delimiter, ""))


@dataclass
class _Layout:
    """Describe how a CSV file is laid out."""

    delimiter: str
    skipped: int = 0  # lines above the header
    width: int | None = None  # number of columns if empty cells at the header's end are left out
    has_row_names: bool = False  # whether a row has its name before the columns
    notes: tuple = ()


def _layout(path, lines):
    """Find the `_Layout` of a file with these first lines."""
    declared = re.fullmatch(r'"?sep=(.)"?\s*', lines[0], re.IGNORECASE) if lines else None
    if declared and declared[1] not in DELIMITERS:
        allowed = ", ".join(DELIMITERS.values())
        raise UserError(f"{path}: its first line says that {declared[1]!a} separates columns; allowed are {allowed}")
    if declared:
        return _layout_that_fits(lines, 1, declared[1]) or _Layout(declared[1], 1)
    delimiter = _delimiter(lines)
    layout = _layout_that_fits(lines, 0, delimiter)
    for skipped in range(1, min(len(lines), 1 + MAX_TITLE_LINES)) if not layout else ():
        if not _is_title(lines[skipped - 1]):
            break
        if lines[skipped].strip() and (layout := _layout_that_fits(lines, skipped, _delimiter(lines[skipped:]))):
            title = " ".join(" ".join(lines[:skipped]).split())
            layout.notes = (f"left out above the header: {title[:60]!a}", *layout.notes)
            break
    return layout or _Layout(delimiter)


def _delimiter(lines):
    """Return the delimiter that gives the most cells in the first two lines with text.

    Of the two lines, the one with fewer cells counts.
    """
    first_lines = [line for line in lines if line.strip()][:2]
    return max(DELIMITERS, key=lambda delimiter: min(map(len, _rows(first_lines, delimiter)), default=0))


def _rows(lines, delimiter):
    """Return the rows that are not empty; none if the lines are not CSV."""
    try:
        return [row for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True) if row]
    except csv.Error:
        return []


def _is_title(line):
    """Return whether a line may stand above a header: a comment, or a line with at most one filled cell."""
    rows = [_rows([line], mark) for mark in DELIMITERS]
    filled_cells = [sum(map(bool, chain.from_iterable(cells))) for cells in rows]  # lint: integer sum
    return line.startswith("#") or max(filled_cells) < 2


def _layout_that_fits(lines, skipped, delimiter):
    """Return the `_Layout` if a header and rows that match it follow the skipped lines, else None."""
    header, *rows = _rows(lines[skipped:], delimiter) or [[]]
    rows = rows[:-1] if len(lines) == PREVIEW_LINES and len(rows) > 1 else rows  # the last may go on below
    if not rows:
        return None
    blanks = any(re.search(f'{re.escape(delimiter)} +"', line) for line in lines[skipped:])
    notes = ("blanks before quotes are left out",) if blanks else ()
    header_width = len(header)
    row_width = len(rows[0])
    only_first_filled = header_width > 2 and not any(header[1:])
    if header_width == row_width > 1 and not only_first_filled and (not skipped or _are_names(header)):
        return _Layout(delimiter, skipped, notes=notes)
    if header_width > row_width > 1 and not any(header[row_width:]):
        return _Layout(delimiter, skipped, row_width, notes=notes)
    if 1 < header_width < row_width and not any(any(row[header_width:]) for row in rows):
        return _Layout(delimiter, skipped, notes=notes)
    if all(len(row) == header_width + 1 for row in rows) and not _are_names(rows[0]) and _are_names(header):
        notes += ("rows begin with a name that has no column, as R writes them; it is left out",)
        return _Layout(delimiter, skipped, has_row_names=True, notes=notes)
    return None


def _are_names(cells):
    return all(parse_number(cell) is None for cell in cells)


def _joined_cells(path, reader, names, layout):
    """Join CHUNK_ROWS cells of a column to one text, so that a cell costs its characters only, not a Python object.

    Return the texts of each column, the line of each row, and whether some row ended with delimiters to leave out.
    """
    chunks = [[] for _ in names]
    numbers = array("q")
    pending = []
    last_line = layout.skipped + reader.line_num
    width = len(names) + layout.has_row_names
    row_names = set()
    trailing_delimiters = False
    for row in chain(reader, [None]):
        if row:
            if len(row) > width and not any(row[width:]):
                trailing_delimiters = True
                row = row[:width]
            if len(row) != width:
                raise UserError(f"{path}: row {last_line + 1} has {len(row)} cells, the header {len(names)}")
            if layout.has_row_names:
                if row[0] in row_names:
                    raise UserError(
                        f"{path}: row {last_line + 1} has {len(row)} cells, the header {len(names)}; the first one,"
                        f" {row[0][:40]!a}, is no name of a row, as it comes twice: name its column"
                    )
                row_names.add(row[0])
                row = row[1:]
            numbers.append(last_line + 1)
            pending.append(row)
        if pending and (row is None or len(pending) == CHUNK_ROWS):
            for name, texts, cells in zip(names, chunks, zip(*pending, strict=True), strict=True):
                texts.append(CELL_SEPARATOR.join(map(str.strip, cells)))
                if texts[-1].count(CELL_SEPARATOR) >= len(cells):
                    at = next(k for k, cell in enumerate(cells) if CELL_SEPARATOR in cell) - len(cells)
                    raise UserError(f"{path}: row {numbers[at]}, column {name}: has a zero byte (NUL); a text has none")
            pending.clear()
        last_line = layout.skipped + reader.line_num
    return chunks, numbers, trailing_delimiters


def _refuse_data_as_header(path, names):
    """Refuse a header with numbers, unless they are whole numbers in ascending order, as 0, 1, 2 or years are."""
    numeric = [name for name in names if parse_number(name) is not None]
    rising = all(map(str.isdigit, numeric)) and all(int(a) < int(b) for a, b in pairwise(numeric))
    if not rising:
        raise UserError(f"{path}: its first row looks like data ({join_names(names)}); put a line of names above it")
