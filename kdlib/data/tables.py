"""Tables from files: Parquet by pyarrow, CSV by Python's own reader."""

import csv
from array import array
from itertools import chain, pairwise
from pathlib import Path

from kdlib.data.cells import number
from kdlib.data.names import listed
from kdlib.data.parquet import read_parquet
from kdlib.data.raw import Table, column_names
from kdlib.errors import UserError

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
BLOCK = 65_536  # rows
BETWEEN = "\0"  # in no cell


def read_table(path):
    """`Table` of a `.parquet`, for which pyarrow has to be there, or else of a `.csv` with a header.

    Of a CSV, delimiter (one of DELIMITERS) and encoding (UTF-8, UTF-16 with its mark, else Windows-1252, which has
    Latin-1's letters) are found. Numbers stay texts: a reader that guesses makes `007` a 7.
    Raises UserError if it is missing, damaged, without a header, or has rows of another length.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: not found; a queued run has what `dvc add` and git know of")
    if str(path).endswith(".parquet"):
        return read_parquet(path)
    try:
        with open(path, "rb") as file:
            marked = file.read(2) in (b"\xff\xfe", b"\xfe\xff")
        for encoding in ("utf-16",) if marked else ("utf-8-sig", "cp1252"):
            try:
                return _read_csv(path, encoding)
            except UnicodeDecodeError:
                continue
    except (csv.Error, UnicodeError) as error:
        raise UserError(f"{path}: not a CSV table with a header: {error}") from None
    raise UserError(f"{path}: not a CSV table with a header: its bytes are no text in UTF-8 or Windows-1252")


def _read_csv(path, encoding):
    with open(path, newline="", encoding=encoding) as file:
        first = [line for line in (file.readline(), file.readline()) if line.strip()]
        file.seek(0)
        delimiter = max(DELIMITERS, key=lambda mark: min(map(len, csv.reader(first, delimiter=mark)), default=0))
        reader = csv.reader(file, delimiter=delimiter, strict=True)  # strict: an open quote swallows no rows
        names = column_names(path, next(filter(None, reader), []))
        if not names:
            raise UserError(f"{path}: not a CSV table with a header: it is empty")
        _refuse_data_as_header(path, names)
        blocks, numbers = _blocks(path, reader, names)
    notes = [f"columns are separated by a {DELIMITERS[delimiter]}"] if delimiter != "," else []
    notes += ["its text is not UTF-8; it was read as Windows-1252"] if encoding == "cp1252" else []
    columns = {
        name: lambda texts=texts: list(chain.from_iterable(text.split(BETWEEN) for text in texts))
        for name, texts in zip(names, blocks, strict=True)
    }
    return Table(str(path), columns, numbers, notes=tuple(notes))


def _blocks(path, reader, names):
    """(of each column, BLOCK cells a text; line of each row). A cell then takes its characters, and not 60 bytes."""
    blocks, numbers, block, line = [[] for _ in names], array("q"), [], reader.line_num
    for row in chain(reader, [None]):
        if row:
            if len(row) != len(names):
                raise UserError(f"{path}: row {line + 1} has {len(row)} cells, the header {len(names)}")
            numbers.append(line + 1)
            block.append(row)
        if block and (row is None or len(block) == BLOCK):
            for name, texts, cells in zip(names, blocks, zip(*block, strict=True), strict=True):
                texts.append(BETWEEN.join(map(str.strip, cells)))
                if texts[-1].count(BETWEEN) >= len(cells):
                    at = next(k for k, cell in enumerate(cells) if BETWEEN in cell) - len(cells)
                    raise UserError(f"{path}: row {numbers[at]}, column {name}: has a zero byte (NUL); a text has none")
            block.clear()
        line = reader.line_num
    return blocks, numbers


def _refuse_data_as_header(path, names):
    """A header may have numbers in rising order, as 0, 1, 2 or years; others are a row of data."""
    found = [name for name in names if number(name) is not None]
    rising = all(map(str.isdigit, found)) and all(int(a) < int(b) for a, b in pairwise(found))
    if not rising:
        raise UserError(f"{path}: its first row looks like data ({listed(names)}); put a line of names above it")
