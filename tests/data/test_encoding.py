"""The encoding of a table as JSON: it comes back, also of older files, or is refused."""

import json

import pytest

from kdlib.data.encoding import ENCODINGS, KINDS, Encoding
from kdlib.data.readers import read_table
from kdlib.io.errors import UserError
from kdlib.preparation import columns
from tests.data.column_examples import EXAMPLES
from tests.data.own_tables import rows


def test_what_is_plain_has_the_bytes_that_it_had(table):
    """A file's JSON names a notation, and words of one's own, only where there are some."""
    encoding = columns.fit_encoding(read_table(table(rows(a=lambda k: k, c=lambda k: ["x", "None"][k % 2 // 1]))), "y")
    assert set(json.loads(encoding.to_json())[0]) == {"categories", "fill", "kind", "missing", "name", "rare"}


def test_an_older_encoding_keeps_its_categories(table):
    """`None` was a category before it was a word for a missing value."""
    column = {"name": "a", "kind": "category", "categories": ["None", "x"], "rare": []}
    encoding = Encoding.from_json(json.dumps([column]))
    assert encoding.encode(read_table(table("a\nNone\nx\nn/a\n"))).tolist() == [[1, 0], [0, 1], [0, 0]]


def test_the_json_comes_back_bit_for_bit(table):
    path = table(rows(a=lambda k: "" if k == 7 else 0.1 * k, colour=lambda k: ["Grün", "冬", ""][k % 3]))
    encoding = columns.fit_encoding(read_table(path), "y")
    text = encoding.to_json()
    again = Encoding.from_json(text)
    assert text.isascii()
    assert (again, again.to_json()) == (encoding, text)
    assert again.encode(read_table(path)).tobytes() == encoding.encode(read_table(path)).tobytes()


def test_every_kind_has_an_example():
    assert EXAMPLES.keys() == KINDS.keys()
    assert all(kind == example.column.kind for kind, example in EXAMPLES.items())
    assert KINDS.keys() >= set(ENCODINGS)


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_cells_become_the_features_of_their_kind(table, example):
    encoding = Encoding((example.column,))
    again = Encoding.from_json(encoding.to_json())
    assert (again, again.to_json()) == (encoding, encoding.to_json())
    assert len(encoding.feature_names) == len(set(encoding.feature_names))
    for one in (encoding, again):
        assert one.encode(read_table(table(example.csv))).tolist() == example.features


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_a_column_without_the_fields_of_its_kind_or_with_others_is_refused(example):
    (entry,) = json.loads(Encoding((example.column,)).to_json())
    own = KINDS[example.column.kind].fields
    changes = [{key: [] for key in own}] if own else []
    for kind in KINDS:
        changes += [{key: getattr(EXAMPLES[kind].column, key)} for key in KINDS[kind].fields if key not in own]
    assert changes
    for change in changes:
        with pytest.raises(UserError, match="is not what it has to be"):
            Encoding.from_json(json.dumps([entry | change]))


@pytest.mark.parametrize(
    "text",
    ["", "3", "[3]", "[" * 5000, '{"a": 1}', '[{"name": "a"}]', '[{"name": "a", "kind": "colour"}]',
     '[{"name": "a", "kind": "number", "fill": NaN}]', '[{"name": "a", "kind": "number", "fill": "1"}]',
     '[{"name": "a", "kind": "number", "more": 1}]', '[{"name": "a", "kind": "category"}]',
     '[{"name": "\\u001b", "kind": "number"}]', '[{"name": ["a"], "kind": "number"}]',
     '[{"name": "a", "kind": ["number"]}]', '[{"name": "a", "kind": "category", "categories": [["b"]]}]',
     '[{"name": "a", "kind": "category", "categories": "bc"}]', '[{"name": "a", "kind": "category", "rare": 3}]',
     '[{"name": "a", "kind": "number", "notation": "5"}]', '[{"name": "a", "kind": "date", "notation": "1,5"}]',
     '[{"name": "a", "kind": "category", "categories": ["b"], "notation": "1,5"}]',
     '[{"name": "a", "kind": "number", "notation": ["1,5"]}]',
     '[{"name": "a", "kind": "number", "missing_texts": "-"}]',
     '[{"name": "a", "kind": "category", "categories": ["b"], "missing_texts": ["b"]}]',
     '[{"name": "a", "kind": "number", "missing_texts": [3]}]',
     '[{"name": "a", "kind": "number"}, {"name": "a", "kind": "number"}]', "[]"],
)  # fmt: skip
def test_a_text_that_is_no_encoding_is_refused(text):
    with pytest.raises(UserError, match="not an encoding of a table"):
        Encoding.from_json(text)
