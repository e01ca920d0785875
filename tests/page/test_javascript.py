"""The page's JavaScript gives the bits of Python: in Node.js, and in Chromium."""

import json
import shutil
import subprocess

import numpy as np
import pytest

from kdlib.backends.arithmetic import EXACT
from kdlib.data.scaled import ScaledRows
from kdlib.learning import losses
from kdlib.learning.objectives import Distillation
from kdlib.learning.optimizers import SGD
from kdlib.learning.recipe import Recipe
from kdlib.learning.training import train
from kdlib.numerics import elementary, exact, grids
from kdlib.numerics.streams import Streams, permutation, stream
from kdlib.page.browser_training import ALLOWED
from kdlib.page.build import WORKER_MODULES, bundle_modules
from kdlib.page.page_data import _integers, array_sha256, encode_array
from tests.clients.integer_students import extremes, halves, student, trained

pytestmark = pytest.mark.slow

MODULES = "const modules = {};\n" + bundle_modules([*WORKER_MODULES, "model", "integers"])
# Numbers in and out as `encode_array`: JSON has no infinities, and no sign of zero.
HELP = """
const given = Object.fromEntries(Object.entries(GIVEN).map(([name, value]) =>
    [name, value && value.type ? modules.model.unpacked(value) : value]));
const bits = (array) => Array.from(new Uint32Array(Float64Array.from(array).buffer));
const rows = (array, width) => Array.from({ length: array.length / width }, (_, i) =>
    array.subarray(i * width, (i + 1) * width));
"""


class Node:
    def __call__(self, code):
        script = f"{MODULES}console.log(JSON.stringify((() => {{{code}}})()));"
        run = subprocess.run(["node", "-"], input=script, capture_output=True, text=True, encoding="utf-8", check=True)
        return json.loads(run.stdout)


class Page:
    def __init__(self, browser, folder):
        (folder / "empty.html").write_text(f'<meta charset="utf-8"><script>{MODULES}</script>', "utf-8")
        self.browser, self.path = browser, folder / "empty.html"

    def __call__(self, code):
        self.browser.open(self.path)
        found = self.browser.value(f"JSON.stringify((() => {{{code}}})())")
        assert self.browser.console == []
        return json.loads(found)


@pytest.fixture(scope="module", params=["node", "chromium"])
def run(request, tmp_path_factory):
    """run(code, name=array or value, ...): what the JavaScript returns, where `given` has the names."""
    if request.param == "node" and shutil.which("node") is None:
        pytest.skip("no Node.js here (apt-get install nodejs)")
    engine = (
        Node() if request.param == "node" else Page(request.getfixturevalue("browser"), tmp_path_factory.mktemp("page"))
    )

    def result(code, **given):
        content = {n: packed_as_it_is(v) if isinstance(v, np.ndarray) else v for n, v in given.items()}
        return engine(f"const GIVEN = {json.dumps(content)};{HELP}{code}")

    return result


def packed_as_it_is(array):
    """`encode_array`, which makes zeros positive and takes no NaN for another, but for these."""
    return encode_array(np.where(array == 0, 0, array).astype(array.dtype))


def doubles(found, shape=-1):
    return np.array(found, np.uint32).view(np.float64).reshape(shape)


def same(found, expected):
    """Whether numbers are equal bit for bit; a NaN is like another, and so is a zero."""
    return np.array_equal(found, np.asarray(expected, np.float64), equal_nan=True)


RNG = np.random.default_rng(0)
WIDE = np.ldexp(RNG.uniform(-1, 1, 4000), RNG.integers(-1074, 1024, 4000))
SPECIAL = np.array([0.0, 5e-324, 2.2250738585072014e-308, 1.0, np.nextafter(1, 0), np.nextafter(1, 2), 1.7e308])


def test_exp(run):
    x = np.concatenate([RNG.uniform(-750, 715, 6000), RNG.uniform(-1, 1, 4000), WIDE, SPECIAL, -SPECIAL, [-np.inf]])
    with np.errstate(over="ignore"):
        expected = elementary.exp(x)
    assert same(doubles(run("return bits(given.x.map(modules.elementary.exp));", x=x)), expected)


def test_log(run):
    x = np.concatenate([RNG.uniform(0, 4, 6000), np.abs(WIDE), SPECIAL, [np.inf, -1.0]])
    assert same(doubles(run("return bits(given.x.map(modules.elementary.log));", x=x)), elementary.log(x))


def test_exponent_power_and_rounding(run):
    x = np.concatenate([WIDE, SPECIAL])
    code = """const { exponent, power, rint } = modules.floats;
    return [bits(given.x.map(exponent)), bits(given.n.map(power)), bits(given.y.map(rint))];"""
    n, y = np.arange(-1080, 1030).astype(np.float64), np.concatenate([np.arange(-20, 20) / 4, WIDE, [2.0**52 + 1]])
    exponents, powers, rounded = run(code, x=x, n=n, y=y)
    assert same(doubles(exponents), np.frexp(x)[1])
    with np.errstate(over="ignore"):
        assert same(doubles(powers), np.ldexp(1.0, n.astype(int)))
    assert same(doubles(rounded), np.rint(y))


def test_sums_that_do_not_round(run):
    x = np.ldexp(RNG.normal(size=(200, 30)), RNG.integers(-30, 30, (200, 30)))
    code = (
        "return [bits(rows(given.x, 30).map(modules.exact.sum)), bits(rows(given.p, 30).map(modules.exact.unitSum))];"
    )
    p = RNG.random((200, 30))
    sums, unit_sums = run(code, x=x, p=p)
    assert same(doubles(sums), exact.sum(x, axis=1))
    assert same(doubles(unit_sums), EXACT.unit_sum(p)[:, 0])


def test_products_of_inference(run):
    a = np.ldexp(RNG.normal(size=(20, 70)), RNG.integers(-9, 9, (20, 1))) * (RNG.random((20, 70)) < 0.7)
    b = RNG.normal(size=(70, 11)).astype(np.float32)
    code = """const right = new modules.exact.Right(given.b, 11);
    return rows(given.a, 70).map((row) => bits(right.product(row)));"""
    assert same(doubles(run(code, a=a, b=b), (20, 11)), exact.matmul(a[None], b[None].astype(np.float64))[0])


@pytest.mark.parametrize(
    ("bits", "floor"), [(8, grids.MIN_MAGNITUDE), (17, grids.MIN_SCALED_MAGNITUDE), (24, grids.MIN_MAGNITUDE)]
)
def test_grids(run, bits, floor):
    m = np.ldexp(RNG.random(3000), RNG.integers(-149, 100, 3000)).astype(np.float32)
    m = np.concatenate([m, np.ldexp(1.0, np.arange(-149, 60)).astype(np.float32), np.zeros(1, np.float32)])
    x = (m * RNG.uniform(-1, 1, len(m))).astype(np.float32)
    code = """const { Grid, snap } = modules.grids;
    const grid = new Grid(given.bits, given.floor);
    const anchors = Array.from(given.m, (m) => grid.anchor(m));
    return [bits(anchors), bits(Array.from(given.m, (m) => grid.unit(m))),
        bits(Array.from(given.x, (x, i) => snap(x, anchors[i])))];"""
    found = run(code, m=m, x=x, bits=bits, floor=floor)
    anchor, unit = grids.Grid(bits, floor).anchor_and_unit(m)
    with np.errstate(invalid="ignore"):
        expected = [anchor, unit, grids.snap(x, anchor, np.empty_like(x))]
    assert [same(doubles(ours), theirs) for ours, theirs in zip(found, expected, strict=True)] == [True] * 3


@pytest.mark.parametrize("replica", [0, 3, 9003])
@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_random_numbers(run, seed, replica):
    code = """const { stream, permutation } = modules.streams;
    const generator = stream(given.seed, given.purpose, given.replica);
    return [bits(Array.from({ length: 500 }, () => generator.random())), Array.from(permutation(generator, 300))];"""
    for purpose in ("student/weights", "é"):
        generator = stream(seed, purpose, replica)
        draws, order = run(code, seed=seed, replica=replica, purpose=purpose)
        assert same(doubles(draws), generator.random(500))
        assert order == permutation(generator, 300).tolist()


def test_sha256(run):
    data = RNG.integers(0, 256, 300).astype(np.uint8)
    code = "return [...given.data.keys()].map((n) => modules.sha256.sha256(given.data.subarray(0, n)));"
    assert run(code, data=data) == [array_sha256(data[:n]) for n in range(300)]


@pytest.mark.parametrize("temperature", [1.0, 2.5, 20.0])
def test_losses_and_their_gradients(run, temperature):
    z, v = (RNG.normal(size=(50, 10)) * 10 for _ in range(2))
    v[0, 1:] -= 20000  # a probability of 0
    labels, one_hot = np.arange(50) % 10, np.eye(10)[np.arange(50) % 10]
    code = """const { crossEntropy, divergence, hardGradient, logSoftmax, softGradient, softmax } = modules.losses;
    const [zs, vs, T] = [rows(given.z, 10), rows(given.v, 10), given.T];
    const soft = vs.map((v) => softmax(v, T));
    return [soft, zs.map((z) => logSoftmax(z, T)), zs.map((z, i) => [crossEntropy(z, given.labels[i])]),
        zs.map((z, i) => [divergence(z, soft[i], T)]), zs.map((z, i) => softGradient(z, soft[i], T)),
        zs.map((z, i) => hardGradient(z, given.labels[i]))].map((all) => all.map(bits));"""
    found = run(code, z=z, v=v, T=temperature, labels=labels.astype(np.int32))
    soft = losses.softmax(v, EXACT, temperature)
    expected = [
        soft,
        losses.log_softmax(z, EXACT, temperature),
        losses.cross_entropy(z, one_hot, EXACT)[:, None],
        losses.kd_divergence(z, soft, temperature, EXACT)[:, None],
        losses.kd_gradient(z, soft, temperature, EXACT),
        losses.cross_entropy_gradient(z, one_hot, EXACT),
    ]
    assert soft.min() == 0
    assert [same(doubles(f, e.shape), e) for f, e in zip(found, expected, strict=True)] == [True] * len(expected)


@pytest.mark.parametrize("nesterov", [False, True])
def test_updates_down_to_the_smallest_gradients(run, nesterov):
    """With this momentum every seventh step ends with a flush to zero."""
    momentum, steps = 0.1, 14
    gradients = np.ldexp(RNG.uniform(-1, 1, (steps, 300)), RNG.integers(-125, 3, 300)).astype(np.float32)
    code = """const parameters = new Float32Array(300);
    const update = new modules.momentum.Momentum(parameters, given);
    rows(given.gradients, 300).forEach((gradient, k) => update.step(gradient, given.rate / (k + 1)));
    return [bits(parameters), bits(update.velocity)];"""
    found = run(code, gradients=gradients, rate=0.1, momentum=momentum, nesterov=nesterov)
    parameters = np.zeros((1, 300), np.float32)
    update = SGD(parameters, momentum, nesterov)
    for k, gradient in enumerate(gradients):
        update.step(parameters, gradient[None].copy(), 0.1 / (k + 1))
    assert same(doubles(found[0]), parameters[0])
    assert same(doubles(found[1]), update.state["moment_0"][0])


@pytest.mark.parametrize("schedule", ALLOWED["student.schedule"])
def test_the_page_knows_every_schedule_of_the_learning_rate(run, schedule):
    recipe = Recipe(learning_rate=0.3, schedule=schedule, warmup=0.4)
    code = "return bits(Array.from({ length: 12 }, (_, step) => modules.momentum.rateAt(given.recipe, step, 12)));"
    found = run(code, recipe={"rate": 0.3, "schedule": schedule, "warmup": 0.4})
    assert same(doubles(found), np.array([recipe.learning_rate_at(step, 12) for step in range(12)]))


def test_the_page_throws_at_a_schedule_or_a_loss_that_it_does_not_know(run):
    code = """const call = (f) => { try { f(); return "nothing"; } catch (error) { return error.message; } };
    return [call(() => modules.momentum.rateAt({ rate: 1, schedule: "cosine", warmup: 0 }, 0, 1)),
        call(() => new modules.losses.Distillation({ loss: "mse", temperature: 1, alpha: 1, scaleByT2: true }))];"""
    assert run(code) == ["schedule: got cosine; needs one of constant, linear", "loss: got mse; needs kd"]


RECIPES = {
    "as by default": ({}, {}),
    "Nesterov, warm-up, constant rate": ({"nesterov": True, "warmup": 0.4, "schedule": "constant"}, {}),
    "no momentum, two layers, small batches": ({"momentum": 0.0, "hidden": (20, 7), "batch_size": 3}, {}),
    "batches of which the last is smaller": ({"hidden": (9,), "batch_size": 33}, {}),
    "no hidden layer, one batch": ({"hidden": (), "batch_size": 1000}, {}),
    "the teacher alone, T = 1": ({}, {"temperature": 1.0, "alpha": 1.0}),
    "the labels alone": ({}, {"alpha": 0.0}),
    "one that diverges": ({"learning_rate": 1e20, "hidden": ()}, {}),
    "without T^2, and a third of the labels": ({"hidden": (40,)}, {"scale_by_t2": False, "unlabeled": True}),
}


@pytest.mark.parametrize("name", RECIPES)
def test_training_gives_the_bytes_and_the_curves_of_python(run, name):
    changes, of_loss = RECIPES[name]
    recipe = Recipe(**{"hidden": (16,), "epochs": 4, "learning_rate": 0.1, "schedule": "linear"} | changes)
    setting = {"temperature": 4.0, "alpha": 0.9, "scale_by_t2": True} | of_loss
    unlabeled = setting.pop("unlabeled", False)
    dataset, _ = trained("digits", (32,), 3)
    rows, held = dataset.rows("train")[:400], dataset.rows("validation")[:60]
    one_hot, logits = dataset.one_hot(rows), RNG.normal(size=(400, 10)).astype(np.float32) * 4
    labels = np.where(unlabeled & (np.arange(400) % 3 > 0), -1, dataset.y[rows])
    one_hot[labels < 0] = 0
    validation = dataset.inputs(held), dataset.one_hot(held)
    objective = Distillation(one_hot, logits, EXACT, **setting)
    scaled = dataset.scaled(rows)
    assert isinstance(scaled, ScaledRows)
    network, curve = train(scaled, objective, recipe, validation, Streams(3, "student", (2,)), allow_divergence=True)
    of_page = {"sizes": network.sizes, "epochs": recipe.epochs, "rate": recipe.learning_rate, "seed": 3, "replica": 2}
    of_page |= {"loss": "kd", "batch": recipe.batch_size, "scaleByT2": setting["scale_by_t2"]}
    of_page |= {k: getattr(recipe, k) for k in ("momentum", "nesterov", "schedule", "warmup", "keep")}
    of_page |= {k: setting[k] for k in ("temperature", "alpha")}
    code = """const data = { x: rows(given.x, 64), labels: given.labels, teacher: rows(given.teacher, 10),
        validation: { x: rows(given.held, 64), labels: given.heldLabels } };
    const training = new modules.training.Training(given.recipe, data);
    const found = [];
    while (!training.done) {
        const measured = training.next();
        if (measured) {
            found.push(bits([measured.loss, measured.validationLoss, measured.accuracy]));
        }
    }
    return [modules.sha256.sha256(training.bytes()), found];"""
    given = {"x": dataset.inputs(rows), "held": validation[0], "teacher": logits.astype(np.float64)}
    given |= {"labels": labels.astype(np.int32), "heldLabels": dataset.y[held].astype(np.int32)}
    digest, measured = run(code, recipe=of_page, **given)
    assert digest == array_sha256(network.parameters[0])
    expected = np.stack([curve[k][0] for k in ("training_loss", "validation_loss", "validation_accuracy")], axis=1)
    epochs = np.isfinite(expected[:, 0])  # where it has diverged, what is measured means nothing
    assert epochs.all() == (name != "one that diverges")
    assert same(doubles(measured, (4, 3))[epochs], expected[epochs])


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_the_integers_of_the_deployed_student(run, bits):
    dataset, network = trained("digits", (32,), 3)
    deployed = student(dataset, network, bits)
    x = dataset.x.astype(np.float64)
    rows = np.concatenate([x[:100], extremes(x), halves(deployed)])
    code = """const network = new modules.integers.IntegerNetwork(given.network);
    return [network.digest(), rows(given.x, 64).map((row) => bits(network.sums(row)))];"""
    content = _integers(deployed)
    digest, sums = run(code, network=content, x=rows)
    assert digest == content["sha256"]
    assert same(doubles(sums, (len(rows), 10)), np.ldexp(deployed.logits(rows), deployed.network.logit_exponent))
