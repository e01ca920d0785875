"""The ONNX files: valid, canonical, and of the same answers as kdlib's, from raw rows."""

import json

import numpy as np
import pytest

from kdlib.backends.arithmetic import EXACT
from kdlib.data.encoding import Column, Encoding
from kdlib.data.readers import read_table
from kdlib.deployment.float_network import FloatNetwork
from kdlib.deployment.model_file import DeployedModel
from kdlib.deployment.onnx_export import EXPORTERS, onnx_file
from kdlib.deployment.protobuf import message
from kdlib.io.errors import UserError
from kdlib.learning.network import Network
from tests.clients.integer_students import student, trained
from tests.data.column_examples import EXAMPLES

onnx = pytest.importorskip("onnx", reason="no onnx (pip install onnx)")
onnxruntime = pytest.importorskip("onnxruntime", reason="no onnxruntime (pip install onnxruntime)")


def run(content, feed):
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(["label", "probabilities", "logits"], feed)


def both(dataset, network):
    """DeployedModel of floats and of integers, of the same network."""
    integers = student(dataset, network, 8)
    return DeployedModel.of(FloatNetwork(network.select([0])), integers.card, dataset), integers


@pytest.fixture(scope="module", params=["digits", "breast_cancer"])
def case(request):
    dataset, network = trained(request.param)
    return dataset, *both(dataset, network)


@pytest.fixture(params=[0, 1], ids=["floats", "integers"])
def model(case, request):
    """(DeployedModel, rows)."""
    return case[1 + request.param], case[0].x.astype(np.float64)


class TestFile:
    def test_is_valid_and_of_an_old_version(self, model):
        content = onnx.load_from_string(onnx_file(model[0]))
        onnx.checker.check_model(content, full_check=True)
        assert content.ir_version == 8
        assert {entry.domain: entry.version for entry in content.opset_import} == {"": 13, "ai.onnx.ml": 1}
        assert "ZipMap" not in {node.op_type for node in content.graph.node}

    def test_is_as_the_package_onnx_writes_it(self, model):
        """The same fields in the order of their numbers, and nothing that a reader would leave out."""
        content = onnx_file(model[0])
        assert onnx.load_from_string(content).SerializeToString(deterministic=True) == content

    def test_says_where_it_is_from(self, model):
        entries = {entry.key: entry.value for entry in onnx.load_from_string(onnx_file(model[0])).metadata_props}
        card = model[0].card
        assert (entries["dataset"], entries["licence"]) == (card.dataset, "MIT")
        assert json.loads(entries["recipe"]) == card.recipe
        assert json.loads(entries["classes"]) == card.classes

    def test_its_ends_have_names_types_and_widths(self, model):
        graph = onnx.load_from_string(onnx_file(model[0])).graph
        double, text = onnx.TensorProto.DOUBLE, onnx.TensorProto.STRING
        kinds = {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
        of = double if model[0].network.metadata()["kind"] == "integers" else onnx.TensorProto.FLOAT
        assert kinds == {"rows": double, "label": text, "probabilities": of, "logits": of}
        widths = [[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.output]
        classes = len(model[0].card.classes)
        assert widths == [["n"], ["n", classes], ["n", classes]]


def test_it_answers_as_kdlib_does(model):
    network, rows = model
    label, probabilities, logits = run(onnx_file(network), {"rows": rows})
    expected = network.logits(rows)
    if network.network.metadata()["kind"] == "integers":
        assert logits.tobytes() == expected.tobytes()
    assert np.abs(logits - expected).max() <= 1e-5 * np.abs(expected).max()
    assert np.abs(probabilities - network.predict_proba(rows)).max() <= 1e-5
    assert label.tolist() == network.predict(rows).tolist()


def test_one_row_is_enough(model):
    network, rows = model
    whole, one = run(onnx_file(network), {"rows": rows})[2], run(onnx_file(network), {"rows": rows[3:4]})[2]
    assert one.shape == (1, len(network.card.classes))
    np.testing.assert_allclose(one[0], whole[3], rtol=1e-5, atol=1e-4)


COLUMNS = (
    Column("label", "number", fill=1.5, missing=True),
    Column("colour", "category", categories=("blue", "red, dark"), rare=("green", "ж"), missing=True),
    Column("size", "category", categories=("S", "M"), missing_texts=("-",), missing=True),
    Column("word", "category", categories=("None", "x"), missing=True),
    Column("born", "date", fill=12.25),
    Column("share", "number", fill=3.5, missing=True, notation="1,5%", missing_texts=("-",)),
    Column("fresh", "boolean", missing=True),
)
ROWS = """label,colour,size,word,born,share,fresh
1.25,blue,S,None,1970-01-03,"0,5 %",true
?,"red, dark",M,x,2024-02-29T12:00,-,false
-3e5,green,-,n/a,NA,7%,NULL
0,ж,L,-,1969-12-31,"-1,25%",TRUE
7,violet,S,None,1999-09-09T06:30:15,,False
2,nan,,x,2000-01-01,0%,
"""


def of_table(encoding, x):
    """The DeployedModel of floats and of integers, with random weights, of a table with these features."""
    dataset, _ = trained("iris", (5,), 1)
    dataset.x, dataset.y = np.tile(x, (1 + 149 // len(x), 1))[:150], np.arange(150) % 3
    dataset.encoding, dataset.feature_names = encoding.to_json(), encoding.feature_names
    dataset.offset, dataset.scale = np.zeros((1, x.shape[1])), 1 / (1 + np.abs(x).max(axis=0))[None]
    network = Network((x.shape[1], 6, 3), 1, EXACT)
    network.parameters[:] = np.random.default_rng(0).normal(size=network.parameters.shape)
    return both(dataset, network)


@pytest.mark.filterwarnings("ignore:column")
@pytest.mark.parametrize("kind", [0, 1], ids=["floats", "integers"])
def test_a_tables_columns_are_its_inputs(tmp_path, kind):
    """Numbers, dates and truth values as numbers, NaN where missing; categories as texts, known, rare, missing, new."""
    (tmp_path / "rows.csv").write_text(ROWS, encoding="utf-8")
    table, encoding = read_table(tmp_path / "rows.csv"), Encoding(COLUMNS)
    made = of_table(encoding, encoding.encode(table))[kind]
    content = onnx_file(made)
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    feed = {}
    for column in COLUMNS:
        cells = np.array(table.cells(column.name), dtype=object)
        values = cells if column.kind == "category" else column.values(table)
        feed[column.name + "_" * (column.name == "label")] = values[:, None]
    label, _, logits = run(content, feed)
    assert label.tolist() == made.predict(table).tolist()
    assert len({tuple(row) for row in logits.tolist()}) == 6
    if kind:
        assert logits.tobytes() == made.logits(table).tobytes()
    np.testing.assert_allclose(logits, made.logits(table), rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore:column")
@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_a_column_of_each_kind_is_exported_or_refused(tmp_path, example):
    (tmp_path / "rows.csv").write_text(example.csv, "utf-8")
    column, table = example.column, read_table(tmp_path / "rows.csv")
    made = of_table(Encoding((column,)), np.array(example.features, dtype=float))[1]
    if column.kind not in EXPORTERS:
        with pytest.raises(UserError, match=f"^ONNX: column {column.name}: no export of its encoding {column.kind}; "):
            onnx_file(made)
        return
    content = onnx_file(made)
    (value,) = onnx.load_from_string(content).graph.input
    texts = value.type.tensor_type.elem_type == onnx.TensorProto.STRING
    cells = np.array(table.cells(column.name), dtype=object) if texts else column.values(table)
    assert run(content, {value.name: cells[:, None]})[2].tobytes() == made.logits(table).tobytes()


@pytest.mark.parametrize("kind", EXPORTERS)
def test_a_kind_without_an_exporter_is_refused_in_one_line(monkeypatch, kind):
    example = EXAMPLES[kind]
    made = of_table(Encoding((example.column,)), np.array(example.features, dtype=float))[1]
    monkeypatch.delitem(EXPORTERS, kind)
    with pytest.raises(UserError, match=f"^ONNX: column {example.column.name}: no export of its encoding {kind}; "):
        onnx_file(made)


def test_no_two_ends_have_one_name():
    encoding = Encoding(tuple(Column(name, "number") for name in ("label", "label_", "logits")))
    made, *_ = of_table(encoding, np.eye(3))
    model = onnx.load_from_string(onnx_file(made))
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.input] == ["label__", "label_", "logits_"]


@pytest.mark.filterwarnings("ignore:column")
def test_a_category_may_be_spelled_as_other_programs_do(tmp_path):
    column = Column(
        "post",
        "category",
        missing=True,
        categories=("007", "1e5", "4", "été"),
        rare=("4.5", "öl"),
        missing_texts=("-9",),
    )
    path = tmp_path / "rows.csv"
    cells = ["4", "4.0", "7", "007", "100000", "100000.0", "e\u0301te\u0301", "o\u0308l", "4.5", "5", "-9.0"]
    path.write_text("\n".join(["post", *cells]), "utf-8")
    encoding, table = Encoding((column,)), read_table(path)
    x = encoding.encode(table)
    assert x.argmax(axis=1).tolist() == [2, 2, 0, 0, 1, 1, 3, 4, 4, 0, 5]
    made = of_table(encoding, x)[1]
    logits = run(onnx_file(made), {"post": np.array(cells, dtype=object)[:, None]})[2]
    assert logits.tobytes() == made.logits(table).tobytes()


class TestProtobuf:
    """The examples of protobuf.dev/programming-guides/encoding."""

    def test_integers(self):
        assert message((1, 150)) == b"\x08\x96\x01"
        assert message((1, -2)) == b"\x08" + b"\xfe" + b"\xff" * 8 + b"\x01"

    def test_texts_and_messages(self):
        assert message((2, "testing")) == b"\x12\x07testing"
        assert message((3, message((1, 150)))) == b"\x1a\x03\x08\x96\x01"

    def test_lists_and_what_is_left_out(self):
        assert message((6, [3, 270]), (7, None), (8, [])) == b"\x30\x03\x30\x8e\x02"
