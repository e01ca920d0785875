"""Files of tables: delimiter, text encoding, header and title lines, and what is refused."""

import csv
import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdlib.data import parsing
from kdlib.data.readers import read_table
from kdlib.preparation import sources
from kdlib.preparation.column_options import ColumnOptions
from tests.data.own_tables import rows, told

some = settings(deadline=None, max_examples=100)


@some
@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=2, max_size=2),
        min_size=1,
        max_size=9,
    )
)
def test_what_a_csv_writer_wrote_is_read(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "written.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *content])
    found = read_table(str(path))
    assert [found.cells(name) for name in "ab"] == [[parsing.nfc(row[k].strip()) for row in content] for k in range(2)]


def test_a_row_has_the_number_of_its_line(table):
    raw = read_table(table('a,b\n\n1,"two\nlines"\n\n\n2,x\n3,y\n'))
    assert list(raw.row_numbers) == [3, 7, 8]


@pytest.mark.parametrize("mark", [";", "\t", "|", ","])
def test_the_delimiter_is_found(table, mark):
    raw = read_table(table(f"a{mark}b{mark}c\n1,5{mark}x{mark}2,5\n" if mark != "," else "a,b,c\n1,x,2\n"))
    assert list(raw.columns) == ["a", "b", "c"]
    assert bool(raw.notes) == (mark != ",")


@pytest.mark.parametrize("code", ["utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252"])
def test_the_encoding_is_found(table, code):
    raw = read_table(table("größe,y\nété,a\n".encode(code)))
    assert (list(raw.columns), raw.cells("größe")) == (["größe", "y"], ["été"])
    assert [note for note in raw.notes if "Windows-1252" in note] == list(raw.notes)
    assert bool(raw.notes) == (code in ("latin-1", "cp1252"))


def test_a_header_may_count(table):
    assert list(read_table(table("0,1,2,y\n3,4,5,a\n")).columns) == ["0", "1", "2", "y"]
    assert list(read_table(table(",2019,2020,y\n0,4,5,a\n")).columns) == ["column 1", "2019", "2020", "y"]


PLAIN = "a,b,y\n1.5,x,p\n2.5,z,q\n"


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (PLAIN, None),
        (PLAIN.replace(",", ", ").replace("x", '"x"').replace("z", '"z"'), "blanks before quotes are left out"),
        ("# exported, by a tool\n" + PLAIN, "left out above the header: '# exported, by a tool'"),
        ("My table\n\nof May\n" + PLAIN, None),
        ("My table\n" + PLAIN, "left out above the header: 'My table'"),
        ("My table\nof May\n" + PLAIN, "left out above the header: 'My table of May'"),
        ("My table,,\n" + PLAIN, "left out above the header: 'My table,,'"),
        ("My table\n" + PLAIN.replace(",", ";"), "left out above the header: 'My table'"),
        ("sep=;\n" + PLAIN.replace(",", ";"), "columns are separated by a semicolon"),
        ("sep=,\n" + PLAIN, None),
        (PLAIN.replace("p\n", "p,\n").replace("q\n", "q,,\n"), "rows end with a delimiter, which is left out"),
        (PLAIN.replace("y\n", "y,\n"), None),
        ('a,b,y\n"1",1.5,x,p\n"2",2.5,z,q\n', "rows begin with a name that has no column"),
        ("a,b,y\nr1,1.5,x,p\nr2,2.5,z,q\n", "rows begin with a name that has no column"),
        (gzip.compress(PLAIN.encode()), "it is packed by gzip"),
        (gzip.compress(PLAIN.replace("x", "é").encode("utf-16")), "it is packed by gzip"),
    ],
    ids=range(16),
)
def test_what_surrounds_a_table_is_left_out(table, content, note):
    raw = read_table(table(content))
    assert list(raw.columns) == ["a", "b", "y"]
    assert [raw.cells(name) for name in "ay"] == [["1.5", "2.5"], ["p", "q"]]
    assert raw.cells("b")[1] == "z"
    assert note is None or any(line.startswith(note) for line in raw.notes)


def test_a_row_below_a_title_has_the_number_of_its_line(table):
    assert list(read_table(table("My table\n\n" + PLAIN)).row_numbers) == [4, 5]
    assert list(read_table(table("sep=,\n" + PLAIN)).row_numbers) == [3, 4]


@pytest.mark.parametrize(
    ("content", "names"),
    [("#,a,y\n1,2,p\n", ["#", "a", "y"]), ("# a,y\n1,p\n", ["# a", "y"]), ("a\nx;y\nz\n", ["a"]), ("a\n1\n2\n", ["a"]),
     ("title\nx\n", ["title"]), ("a,b\n1,2\n", ["a", "b"])],
)  # fmt: skip
def test_what_only_looks_like_a_title_is_a_header(table, content, names):
    assert list(read_table(table(content)).columns) == names


@pytest.mark.parametrize("name", ["t.csv", "t.CSV", "t.tsv", "t.txt", "t.csv.gz", "t.Tsv.gz", "t.txt.gz"])
def test_a_table_may_have_one_of_these_names(table, name):
    content = PLAIN.replace(",", "\t").encode()
    path = table(gzip.compress(content) if name.endswith("gz") else content, name)
    assert sources.load_examples(path, "y", ColumnOptions(["b"])).x.tolist() == [[1.5], [2.5]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["PATH", "it is empty"]),
        ("a,y\n", ["PATH: has no rows"]),
        ("a,y\n1,p\n\n2\n", ["row 4 has 1 cells, the header 2"]),
        ("a,b,y\n1,2,p\n2,1,p\n", ["all examples are of one class, p"]),
        ("y\np\nq\n", ["no column beside y has different values"]),
        ("a,b,y\n,1,p\nNA,1,q\n", ["no column beside y has different values"]),
        ("a,a,y\n1,2,p\n", ["two columns are named 'a'"]),
        ("y,y\np,p\nq,q\n", ["two columns are named 'y'"]),
        ("5.1,3.5,y\n4.9,3.0,p\n", ["first row looks like data (5.1, 3.5, y)", "names"]),
        ("3,1,y\n4,3,p\n", ["first row looks like data (3, 1, y)"]),
        ('a,y\n1,"p\n2,q\n', ["not a CSV table", "unexpected end"]),
        (b"a,y\n1,p\n2,q\0\n", ["NUL"]),
        (b"a,y\n1,\x81\xff\n", ["no text in UTF-8 or Windows-1252"]),
        (b"\xff\xfea\0,\0y\0\n\0x", ["not a CSV table"]),
        (b"PK\x03\x04" + bytes(99), ["no CSV table, but a ZIP archive", ".xlsx"]),
        (b"PAR1" + bytes(99), ["no CSV table, but a Parquet file; name it .parquet"]),
        (gzip.compress(b"a,y\n1,p\n2,q\n")[:-9], ["a damaged gzip file"]),
        (gzip.compress(bytes(1 << 25)), ["unpacks to over 100 times its size"]),
        ("sep=x\naxy\n", ["first line says that 'x' separates columns; allowed are comma, semicolon"]),
        ("a,b,y\nr,1,2,p\nr,2,3,q\n", ["row 3 has 4 cells, the header 3", "'r'", "comes twice"]),
        ("a,b,y\n1,2,p,x\n1,2,p\n1,2,q\n", ["row 2 has 4 cells, the header 3"]),
        ("a,y\n1,p\n2,\n", ["row 3, column y: '' is no class"]),
        ("a,y\n1,p\n2,nan\n", ["row 3, column y: 'nan' is no class"]),
        ("a,y\n1,p\n\n2,</script>\n", ["row 4, column y: '</script>' has markup"]),
        ("a,y\n1,p\n1e400,q\n", ["row 3, column a: '1e400' is no number of at most 1e+300"]),
        ("a,y\n1,p\n-inf,q\n", ["row 3, column a: '-inf' is no number of at most 1e+300"]),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_table_that_does_not_fit_is_told(table, content, words):
    line = told(table(content))
    assert [word for word in words if word not in line] == []


def test_a_zero_byte_has_its_row(table):
    text = rows(a=lambda k: "p\0" if k == 16 else "p")
    line = told(table(text))
    assert "NUL" in line
    if "zero byte" in line:  # Python 3.10's own reader says it without the row
        assert "row 18, column a" in line
