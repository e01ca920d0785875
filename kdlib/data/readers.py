"""Tables from files: Parquet by pyarrow, CSV by Python's own reader."""

import csv
import gzip
import re
import zlib
from array import array
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from pathlib import Path

from kdlib.data.name_checks import listed
from kdlib.data.parquet import read_parquet
from kdlib.data.parsing import number
from kdlib.data.table import Table, column_names
from kdlib.io import npz_reader
from kdlib.io.errors import UserError

PARQUET = (".parquet", ".pq")
TABLES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz", *PARQUET)  # what a table's name ends with
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
DECIMALS = {",": ".", ";": ","}  # the decimal mark that a delimiter speaks for
BLOCK = 65_536  # rows
BETWEEN = "\0"  # in no cell
LOOKED_AT = 50  # lines, in which delimiter and header are sought
TITLE_LINES = 10  # above the header, at most
GZIP = b"\x1f\x8b"
BINARY = {
    b"PK\x03\x04": "a ZIP archive, as an .xlsx workbook is; export it as CSV",
    b"\xd0\xcf\x11\xe0": "an .xls workbook; export it as CSV",
    b"PAR1": "a Parquet file; name it .parquet",
    b"BZh": "packed by bzip2; unpack it, or pack it by gzip",
    b"\xfd7zXZ": "packed by xz; unpack it, or pack it by gzip",
    b"(\xb5/\xfd": "packed by zstd; unpack it, or pack it by gzip",
}


def read_table(path):
    """`Table` of a file of PARQUET, for which pyarrow has to be there, or else of a CSV with a header, maybe in gzip.

    Of a CSV, delimiter (one of DELIMITERS) and encoding (UTF-8, UTF-16 with its mark, else Windows-1252, which has
    Latin-1's letters) are found; comments and titles above the header, names of rows as R writes them, and delimiters
    at the ends of rows are left out, with a note. Numbers stay texts: a reader that guesses makes `007` a 7.
    Raises UserError if it is missing, damaged, without a header, or has rows of another length.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: not found; a queued run has what `dvc add` and git know of")
    if str(path).lower().endswith(PARQUET):
        return read_parquet(path)
    with open(path, "rb") as file:
        first = file.read(8)
    for mark, what in BINARY.items():
        if first.startswith(mark):
            raise UserError(f"{path}: no CSV table, but {what}")
    packed = first.startswith(GZIP)
    opened = gzip.open if packed else open
    try:
        if packed:
            _refuse_expansion(path)
        with opened(path, "rb") as file:
            marked = file.read(2) in (b"\xff\xfe", b"\xfe\xff")
        for encoding in ("utf-16",) if marked else ("utf-8-sig", "cp1252"):
            try:
                with opened(path, "rt", newline="", encoding=encoding) as file:
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
    """Raises UserError for a gzip file that unpacks to more than an archive may. It is read to its end, and its CRC."""
    most, unpacked = npz_reader.EXPANSION * Path(path).stat().st_size + npz_reader.FREE, 0
    with gzip.open(path) as file:
        while block := file.read(npz_reader.BLOCK):
            unpacked += len(block)
            if unpacked > most:
                raise UserError(f"{path}: unpacks to over {npz_reader.EXPANSION} times its size; unpack it beforehand")


def _read_csv(path, file, notes):
    layout = _layout(path, list(islice(file, LOOKED_AT)))
    file.seek(0)
    for _ in range(layout.skipped):
        file.readline()
    # strict: an open quote swallows no rows
    reader = csv.reader(file, delimiter=layout.delimiter, skipinitialspace=True, strict=True)
    header = next(filter(None, reader), [])
    names = column_names(path, header[: layout.width])
    if not names:
        raise UserError(f"{path}: not a CSV table with a header: it is empty")
    _refuse_data_as_header(path, names)
    blocks, numbers, ended = _blocks(path, reader, names, layout)
    mark = layout.delimiter
    notes = [*([f"columns are separated by a {DELIMITERS[mark]}"] if mark != "," else []), *notes, *layout.notes]
    notes += ["rows end with a delimiter, which is left out"] if ended else []
    columns = {
        name: lambda texts=texts: list(chain.from_iterable(text.split(BETWEEN) for text in texts))
        for name, texts in zip(names, blocks, strict=True)
    }
    return Table(str(path), columns, numbers, notes=tuple(notes), decimal=DECIMALS.get(mark, ""))


@dataclass
class _Layout:
    """delimiter: of DELIMITERS. skipped: lines above the header. width: of the header, less empty cells at its end; or
    None, of the whole. named: whether a row has its name before the columns.
    """

    delimiter: str
    skipped: int = 0
    width: int | None = None
    named: bool = False
    notes: tuple = ()


def _layout(path, lines):
    """`_Layout` of a file with these first lines."""
    found = re.fullmatch(r'"?sep=(.)"?\s*', lines[0], re.IGNORECASE) if lines else None
    if found and found[1] not in DELIMITERS:
        allowed = ", ".join(DELIMITERS.values())
        raise UserError(f"{path}: its first line says that {found[1]!a} separates columns; allowed are {allowed}")
    if found:
        return _fitting(lines, 1, found[1]) or _Layout(found[1], 1)
    delimiter = _delimiter(lines)
    found = _fitting(lines, 0, delimiter)
    for skipped in range(1, min(len(lines), 1 + TITLE_LINES)) if not found else ():
        if not _is_title(lines[skipped - 1]):
            break
        if lines[skipped].strip() and (found := _fitting(lines, skipped, _delimiter(lines[skipped:]))):
            title = " ".join(" ".join(lines[:skipped]).split())
            found.notes = (f"left out above the header: {title[:60]!a}", *found.notes)
            break
    return found or _Layout(delimiter)


def _delimiter(lines):
    """The one that gives the first two lines with text the most cells."""
    first = [line for line in lines if line.strip()][:2]
    return max(DELIMITERS, key=lambda mark: min(map(len, _rows(first, mark)), default=0))


def _rows(lines, delimiter):
    """The rows of these lines that are not empty; of what is no CSV, none."""
    try:
        return [row for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True) if row]
    except csv.Error:
        return []


def _is_title(line):
    """Whether a line may stand above a header: a comment, or with text in its first cell alone."""
    filled = [sum(map(bool, chain.from_iterable(_rows([line], mark)))) for mark in DELIMITERS]  # integers
    return line.startswith("#") or max(filled) < 2


def _fitting(lines, skipped, delimiter):
    """`_Layout` if the lines below those that are skipped are a header of names and rows that it fits, else None."""
    header, *rows = _rows(lines[skipped:], delimiter) or [[]]
    rows = rows[:-1] if len(lines) == LOOKED_AT and len(rows) > 1 else rows  # the last may go on below
    if not rows:
        return None
    blanks = any(re.search(f'{re.escape(delimiter)} +"', line) for line in lines[skipped:])
    notes = ("blanks before quotes are left out",) if blanks else ()
    wide, first = len(header), len(rows[0])
    lone = wide > 2 and not any(header[1:])
    if wide == first > 1 and not lone and (not skipped or _are_names(header)):
        return _Layout(delimiter, skipped, notes=notes)
    if wide > first > 1 and not any(header[first:]):
        return _Layout(delimiter, skipped, first, notes=notes)
    if 1 < wide < first and not any(any(row[wide:]) for row in rows):
        return _Layout(delimiter, skipped, notes=notes)
    if all(len(row) == wide + 1 for row in rows) and not _are_names(rows[0]) and _are_names(header):
        notes += ("rows begin with a name that has no column, as R writes them; it is left out",)
        return _Layout(delimiter, skipped, named=True, notes=notes)
    return None


def _are_names(cells):
    return all(number(cell) is None for cell in cells)


def _blocks(path, reader, names, layout):
    """(of each column, BLOCK cells a text; line of each row; whether some row ended with delimiters to leave out).

    A cell then takes its characters, and not 60 bytes.
    """
    blocks, numbers, block, line = [[] for _ in names], array("q"), [], layout.skipped + reader.line_num
    width, named, ended = len(names) + layout.named, set(), False
    for row in chain(reader, [None]):
        if row:
            if len(row) > width and not any(row[width:]):
                ended, row = True, row[:width]
            if len(row) != width:
                raise UserError(f"{path}: row {line + 1} has {len(row)} cells, the header {len(names)}")
            if layout.named:
                if row[0] in named:
                    raise UserError(
                        f"{path}: row {line + 1} has {len(row)} cells, the header {len(names)}; the first one,"
                        f" {row[0][:40]!a}, is no name of a row, as it comes twice: name its column"
                    )
                named.add(row[0])
                row = row[1:]
            numbers.append(line + 1)
            block.append(row)
        if block and (row is None or len(block) == BLOCK):
            for name, texts, cells in zip(names, blocks, zip(*block, strict=True), strict=True):
                texts.append(BETWEEN.join(map(str.strip, cells)))
                if texts[-1].count(BETWEEN) >= len(cells):
                    at = next(k for k, cell in enumerate(cells) if BETWEEN in cell) - len(cells)
                    raise UserError(f"{path}: row {numbers[at]}, column {name}: has a zero byte (NUL); a text has none")
            block.clear()
        line = layout.skipped + reader.line_num
    return blocks, numbers, ended


def _refuse_data_as_header(path, names):
    """A header may have numbers in rising order, as 0, 1, 2 or years; others are a row of data."""
    found = [name for name in names if number(name) is not None]
    rising = all(map(str.isdigit, found)) and all(int(a) < int(b) for a, b in pairwise(found))
    if not rising:
        raise UserError(f"{path}: its first row looks like data ({listed(names)}); put a line of names above it")
