"""The page, opened in Chromium without a network, by someone who moves its sliders, draws on it and trains."""

import hashlib
import json
import os
import re
import shutil
import sys
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest

from kdlib.backends.arithmetic import EXACT
from kdlib.data.dataset import Dataset
from kdlib.deployment.model_file import load
from kdlib.io.artifacts import read_npz
from kdlib.io.errors import UserError
from kdlib.learning import losses
from kdlib.learning.model_file import ensemble_logits, load_model
from kdlib.learning.recipe import Recipe
from kdlib.learning.schedules import SCHEDULES
from kdlib.learning.stack import network_slices
from kdlib.page import browser_training, page_data
from kdlib.page.build import PAGE_MODULES, WEB_FOLDER, WORKER_MODULES, build_page
from kdlib.pipeline.command_line import PATHS
from kdlib.pipeline.schema import recipe_of
from kdlib.reporting.svg_axes import COLORS
from kdlib.reporting.table import format_report
from tests.clients.firefox import FIREFOX, Firefox
from tests.conftest import MAINS, quick_params

INTEGERS = f"{PATHS.deployed}/int.npz"
DIGITS = {
    "prepare": {"dataset": "digits", "splits": 2, "max_samples": 700, "scaling": "auto"},
    "teacher": {"hidden": [24], "members": 2, "epochs": 10},
    "student": {"hidden": [16], "epochs": 4, "batch_size": 64, "learning_rate": [0.05, 0.1]},
}


def made(folder, **changes):
    """The folder, in which all stages ran."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        for main in MAINS.values():
            main(quick_params(**changes))
    finally:
        os.chdir(before)
    return folder


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return made(tmp_path_factory.mktemp("digits"), **DIGITS)


READY = "document.querySelector('#train-digest code')"


@pytest.fixture
def opened(browser, digits):
    browser.open(digits / PATHS.page)
    browser.until(f"{READY} !== null")
    return browser


def told(folder):
    """What the page was made of."""
    text = (folder / PATHS.page).read_text("utf-8")
    return json.loads(re.search(r'id="content">(.*?)</script>', text, re.DOTALL).group(1))


def text(browser, selector):
    return browser.value(f"document.querySelector({json.dumps(selector)}).textContent")


def texts(browser, selector):
    return browser.value(f"Array.from(document.querySelectorAll({json.dumps(selector)}), (e) => e.textContent)")


def put(browser, selector, value):
    """Give an input or a choice another value, as a hand does."""
    browser.value(
        f"(e => {{ e.value = {json.dumps(str(value))}; for (const kind of ['input', 'change'])"
        f" e.dispatchEvent(new Event(kind, {{bubbles: true}})); }})(document.querySelector({json.dumps(selector)}))"
    )


def press(browser, identity):
    browser.value(f"document.getElementById('{identity}').click()")


WHO, HEAT = "#train-controls label:nth-child(1) select", "#train-controls label:nth-child(2) input"


def trained_to_the_end(browser):
    press(browser, "train-run")
    browser.until(f"document.getElementById('train-run').disabled && {READY} !== null")
    return texts(browser, "#train-digest code")[0]


# The file


def test_it_is_the_same_wherever_it_is_made_and_names_no_place_and_no_day(digits, tmp_path):
    written = (digits / PATHS.page).read_bytes()
    assert (made(tmp_path, **DIGITS) / PATHS.page).read_bytes() == written
    assert str(digits).encode() not in written
    assert not re.search(rb"20[2-9]\d-\d\d-\d\d", written)


@pytest.mark.parametrize(("features", "classes"), [(64, 10), (784, 10), (3072, 100), (5, 1000)])
def test_it_has_room_for_so_many_examples_that_it_stays_below_two_megabytes(features, classes):
    names = [str(k) for k in range(classes)]
    dataset = Dataset(np.zeros((2, features), np.uint8), np.zeros(2), np.zeros((1, 2)), None, None, names, [], ())
    of_example = features + 12 * classes
    assert 0 <= page_data.MAX_EXAMPLE_BYTES - page_data.max_examples(dataset) * of_example < of_example
    code = sum(path.stat().st_size for path in WEB_FOLDER.iterdir())
    assert 4 / 3 * (2 * page_data.MAX_EXAMPLE_BYTES + 2 * page_data.MAX_WEIGHT_BYTES) + code < 1.9e6


def test_a_module_imports_from_those_before_it():
    known = set()
    assert sorted((*WORKER_MODULES, *PAGE_MODULES)) == sorted(path.stem for path in WEB_FOLDER.glob("*.mjs"))
    for name in (*WORKER_MODULES, *PAGE_MODULES):
        imported = re.findall(r'from "\./(\w+)\.mjs"', (WEB_FOLDER / f"{name}.mjs").read_text("utf-8"))
        assert set(imported) <= known, name
        known.add(name)


def test_its_texts_hold_for_a_table_and_for_a_teacher_that_is_no_network():
    text = "".join((WEB_FOLDER / name).read_text("utf-8") for name in ("page.html", "draw.mjs", "soften.mjs"))
    found = re.findall(r"large network|(?:three|both|either) networks?|“\d”|[Tt]his \d", text)
    assert found == []
    assert "or no network" in text


def test_its_colours_are_the_pictures():
    light = (WEB_FOLDER / "page.css").read_text("utf-8").split("@media")[0]
    assert dict(re.findall(r"--(teacher|baseline|student): (#\w+);", light)) == COLORS


def luminance(colour):
    channels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(share * c for share, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_its_texts_stand_out_in_the_light_and_in_the_dark():
    """By a ratio of 4.5: WCAG 2.1, criterion 1.4.3."""
    light, dark = (WEB_FOLDER / "page.css").read_text("utf-8").split("@media (prefers-color-scheme: dark)")
    for part in (light, dark.split("canvas")[0]):
        colours = dict(re.findall(r"--(\w+): (#\w+);", part))
        colours = {k: v if len(v) == 7 else "#" + "".join(c * 2 for c in v[1:]) for k, v in colours.items()}
        for ink, paper in [("ink", "paper"), ("ink", "panel"), ("faint", "paper"), ("teacher", "paper")]:
            low, high = sorted(luminance(colours[name]) + 0.05 for name in (ink, paper))
            assert high / low >= 4.5, (ink, paper)


@pytest.mark.parametrize(
    ("path", "found"),
    [("metrics/details.json", b"{}"), ("metrics/details.json", b"\xff"), ("metrics/summary.svg", None),
     (PATHS.predictions, b""), (INTEGERS, None), (PATHS.predictions, "other")],
)  # fmt: skip
def test_what_is_missing_or_of_another_run_is_named(trained, digits, tmp_path, monkeypatch, path, found):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / PATHS.page).unlink()
    (tmp_path / path).unlink()
    if found is not None:
        (tmp_path / path).write_bytes((digits / path).read_bytes() if found == "other" else found)
    with pytest.raises(UserError, match="predictions" if path == PATHS.predictions else re.escape(path)):
        MAINS["page"](quick_params())
    assert not (tmp_path / PATHS.page).exists()


# What it shows


def test_its_table_and_its_sentences_are_the_reports_of_the_test_examples(trained):
    details = json.loads((trained / "metrics/details.json").read_text("utf-8"))
    printed = format_report(details).splitlines()
    details["teacher"]["model"] = "a\n|b|\nvalidation"  # a name may look like a row
    shown = page_data.results_section(details, {})
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed if line.startswith("| ")]
    assert [list(row) for row in shown["rows"]] == [row for row in rows if not row[0].startswith(("validation", "-"))]
    gains = [line for line in printed if line.startswith("test ")]
    assert shown["lines"][: len(gains)] == gains
    assert "teacher: a |b| validation; the promise of same bytes begins at its logits" in shown["lines"]


def test_it_asks_for_nothing_and_says_nothing(opened, digits):
    trained_to_the_end(opened)
    assert [url for url in opened.requests if not url.startswith(("blob:", "data:"))] == [
        (digits / PATHS.page).as_uri()
    ]
    assert opened.console == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [400, 1400])
def test_nothing_is_wider_than_the_window(browser, digits, width, dark):
    browser.open(digits / PATHS.page, width=width, dark=dark)
    browser.until(f"{READY} !== null")
    assert browser.value("document.documentElement.scrollWidth") == width
    assert browser.console == []


def test_everything_that_can_be_used_has_a_name(opened):
    used = {"button", "slider", "combobox", "link", "application", "image", "table", "region"}
    nodes = opened.send("Accessibility.getFullAXTree")["nodes"]
    found = [(n["role"]["value"].lower(), n.get("name", {}).get("value")) for n in nodes if not n["ignored"]]
    assert used <= {role for role, _ in found}
    assert [role for role, name in found if role in used and not name] == []


@pytest.mark.parametrize(("temperature", "alpha"), [(1, 0), (4, 0.9), (7.5, 0.35), (20, 1)])
def test_the_sliders_show_what_python_finds_to_the_last_digit(opened, digits, temperature, alpha):
    dataset, predictions = Dataset.load(digits / PATHS.dataset), read_npz(digits / PATHS.predictions)
    opened.value("document.querySelector('.thumbnails button:nth-child(2)').click()")
    example = int(re.match(r"Example (\d+)", text(opened, ".large p")).group(1))
    of_splits = [dataset.rows("test", split) for split in range(2)]
    row = np.sort(np.concatenate(of_splits))[example]
    split = next(s for s, rows in enumerate(of_splits) if row in rows)
    place = np.searchsorted(of_splits[split], row)
    put(opened, "#soften-controls label:nth-child(1) input", temperature)
    put(opened, "#soften-controls label:nth-child(2) input", alpha)
    z = np.stack([predictions[f"{name}_test_{split}"][0, place] for name in COLORS]).astype(np.float64)
    p = losses.softmax(z, EXACT, float(temperature))
    shown = np.array(texts(opened, "#bars tbody .bar span")).reshape(10, 3)
    assert shown.tolist() == [[f"{value:.4f}" for value in of_class] for of_class in p.T]
    kl = losses.kd_divergence(z, p[:1], float(temperature), EXACT)
    assert texts(opened, "#bars tfoot td") == ["", *(f"{value:.4f}" for value in kl[1:])]
    hard = losses.cross_entropy(z[2:], dataset.one_hot(np.array([row]), split), EXACT)[0]
    loss = alpha * temperature**2 * kl[2] + (1 - alpha) * hard
    expected = [f"{alpha:.2f}", f"{temperature**2:.2f}", f"{kl[2]:.4f}", f"{1 - alpha:.2f}", f"{hard:.4f}"]
    assert re.findall(r"\d+\.\d+", text(opened, "#soften-loss")) == [*expected, f"{loss:.4f}"]


def test_examples_come_by_the_teachers_second_guess(opened, digits):
    logits = np.frombuffer(b64decode(told(digits)["shown"]["teacher"]["data"]), "<f4").reshape(-1, 10)
    put(opened, ".picker label:nth-child(1) select", 3)
    put(opened, ".picker label:nth-child(2) select", 8)
    shown = opened.value("Array.from(document.querySelectorAll('.thumbnails button'), (b) => +b.dataset.example)")
    eights = np.argsort(-logits[shown], axis=1, kind="stable")[:, 1] == 8
    assert eights.any()
    assert (np.diff(eights.astype(int)) <= 0).all()
    assert (np.diff(losses.softmax(logits[shown].astype(np.float64), EXACT)[eights, 8]) <= 0).all()


def test_the_gradient_with_the_factor_keeps_its_length(opened):
    """As drawn at T = 10 and T = 20, of a student that knows nothing, in pixels of 208."""

    def heights(kind):
        points = opened.value(f"document.querySelector('#gradients-lengths .teacher{kind}').getAttribute('points')")
        return [float(points.split()[k].split(",")[1]) for k in (36, 76)]

    with_factor, without = heights(":not(.dashed)"), heights(".dashed")
    assert abs(with_factor[1] - with_factor[0]) < 12
    assert without[1] - without[0] > 40


def test_its_pictures_are_seen(opened):
    sizes = opened.value("Array.from(document.images, (image) => image.naturalWidth)")
    assert len(sizes) == 1  # one temperature and one alpha: no picture of a sweep
    assert min(sizes) > 0


# What is drawn

SEVEN = [(0.3, 0.22), (0.5, 0.21), (0.7, 0.22), (0.6, 0.5), (0.45, 0.8)]


def draw(browser, *points):
    """A stroke on the pad, by the mouse."""
    browser.value("document.getElementById('pad').scrollIntoView({behavior: 'instant', block: 'center'})")
    box = browser.value("(b => [b.x, b.y, b.width, b.height])(document.getElementById('pad').getBoundingClientRect())")
    at = [(box[0] + x * box[2], box[1] + y * box[3]) for x, y in points]
    browser.mouse("mousePressed", *at[0])
    for point in at[1:]:
        browser.mouse("mouseMoved", *point)
    browser.mouse("mouseReleased", *at[-1])


def on_the_pad(browser):
    """(image (64,), the page's cells: the student's probability and integer, the teacher's probability)."""
    row = np.array(browser.value("document.getElementById('draw').dataset.row").split(), float)
    return row, np.array(texts(browser, "#draw-bars .bar span")).reshape(10, 3).tolist()


def by_python(folder, row):
    """The cells of this image."""
    dataset, deployed = Dataset.load(folder / PATHS.dataset), load(folder / INTEGERS)
    split, model = deployed.card.split, load_model(folder / PATHS.teacher, dataset)
    sums = np.ldexp(deployed.logits(row[None]), deployed.network.logit_exponent)[0]
    members = model.network.select(network_slices(2, model.network.replicas)[split])
    logits = ensemble_logits(members.logits((row[None] - dataset.offset[split]) * dataset.scale[split]))
    teacher = losses.softmax(logits.astype(np.float64), EXACT)[0]
    student = deployed.predict_proba(row[None])[0]
    return [[f"{s:.4f}", str(int(n)), f"{t:.4f}"] for s, n, t in zip(student, sums, teacher, strict=True)]


def test_a_drawn_stroke_gives_the_integers_of_python(opened, digits):
    draw(opened, *SEVEN)
    row, cells = on_the_pad(opened)
    assert row.min() == 0
    assert row.max() > 8
    assert cells == by_python(digits, row)
    assert re.match(r"The student says \d, with [\d.]+ %. The teacher says \d, with", text(opened, "#draw-answer"))
    draw(opened, (0.3, 0.5), (0.6, 0.5))
    assert (on_the_pad(opened)[0] != row).any()


def test_the_keyboard_draws_too(opened, digits):
    opened.value("document.getElementById('pad').focus()")
    for key in ["ArrowUp"] * 6 + [" "] + ["ArrowDown"] * 12 + [" ", "ArrowLeft"]:
        opened.key(key)
    row, cells = on_the_pad(opened)
    assert (row.reshape(8, 8).max(axis=1) > 0).all()
    assert cells == by_python(digits, row)
    opened.key("Escape")
    assert on_the_pad(opened)[0].max() == 0


def test_an_example_of_the_test_set_gives_the_integers_of_python(opened, digits):
    press(opened, "pad-copy")
    row, cells = on_the_pad(opened)
    dataset = Dataset.load(digits / PATHS.dataset)
    example = int(re.match(r"Example (\d+)", text(opened, ".large p")).group(1))
    tested = np.sort(np.concatenate([dataset.rows("test", split) for split in range(2)]))
    assert row.tolist() == dataset.x[tested[example]].tolist()
    assert cells == by_python(digits, row)
    network = load(digits / INTEGERS).network
    arrays = [np.ravel(a) for layer in network.layers for a in layer] + network.shifts
    digest = hashlib.sha256(np.concatenate([a.astype("<i4") for a in arrays]).tobytes()).hexdigest()
    assert f"{digest}, as in models/deployed/int.npz." in text(opened, "#draw-digest")


# What is trained


def deployed_digest(folder):
    return hashlib.sha256(read_npz(folder / PATHS.student)["deployed"].astype("<f4").tobytes()).hexdigest()


def test_the_student_is_trained_to_the_bytes_of_python(opened, digits):
    assert trained_to_the_end(opened) == deployed_digest(digits)
    assert "Equal: the same bytes." in text(opened, "#train-digest")
    assert "student that is deployed" in text(opened, "#train-digest")
    lesson = told(digits)["lesson"]
    curve = np.frombuffer(b64decode(lesson["student"]["validation_loss"]["data"]), "<f8").reshape(-1, 4)
    assert f"validation loss {curve[lesson['replica'], -1]:.4f} nats" in text(opened, "#train-state")


def test_the_baseline_is_trained_to_the_bytes_of_python(opened, digits):
    """Those of models/baseline.npz, as the page's baseline has the learning rate that its split has chosen."""
    put(opened, WHO, "baseline")
    digest, lesson, stored = trained_to_the_end(opened), told(digits)["lesson"], read_npz(digits / PATHS.baseline)
    network = lesson["split"] * 2 + lesson["replica"]
    layers = [np.ravel(stored[f"{kind}_{k}"][network]) for k in (0, 1) for kind in ("weights", "biases")]
    assert digest == hashlib.sha256(np.concatenate(layers).astype("<f4").tobytes()).hexdigest()
    assert "Equal: the same bytes." in text(opened, "#train-digest")


def at_step(browser, step):
    browser.until(
        f"document.getElementById('train-state').textContent.startsWith('Step {step} of') && {READY} !== null"
    )
    return texts(browser, "#train-digest code")[0]


def test_rewinding_leads_to_the_same_weights_and_the_address_to_the_same_step(opened, digits):
    first = at_step(opened, 0)
    put(opened, HEAT, 9)
    for step in range(1, 4):
        press(opened, "train-step")
        third = at_step(opened, step)
    assert "Python has not trained with these values" in text(opened, "#train-digest")
    address = opened.until("location.hash.includes('step=3') && location.hash")
    assert "heat=9" in address
    press(opened, "train-rewind")
    assert at_step(opened, 0) == first != third
    opened.open(digits / PATHS.page, address)
    assert at_step(opened, 3) == third
    assert opened.console == []


def test_a_pause_holds_it_and_leads_on_to_the_same_bytes(opened, digits):
    press(opened, "train-run")
    press(opened, "train-run")
    opened.until(f"document.getElementById('train-run').textContent === 'Train' && {READY} !== null")
    step, steps = re.match(r"Step (\d+) of (\d+)", text(opened, "#train-state")).groups()
    assert int(step) < int(steps)
    assert trained_to_the_end(opened) == deployed_digest(digits)


def test_an_address_that_asks_for_too_much_is_brought_within_bounds(browser, digits):
    browser.open(
        digits / PATHS.page, "#T=1e9&alpha=-3&example=99999&network=12&label=x&who=%3Cb%3E&from=&rate=-1&step=-4"
    )
    browser.until(f"{READY} !== null")
    assert texts(browser, "#soften-controls output") == ["20.0", "0.00"]
    assert browser.console == []


@pytest.mark.slow
@pytest.mark.skipif(FIREFOX is None or sys.platform == "win32", reason="no Firefox (apt-get install firefox-esr)")
def test_firefox_gives_the_same_bytes(digits, tmp_path):
    firefox = Firefox(tmp_path)
    try:
        firefox.open(digits / PATHS.page)
        firefox.until(f"{READY} !== null")
        assert trained_to_the_end(firefox) == deployed_digest(digits)
        press(firefox, "pad-copy")
        row, cells = on_the_pad(firefox)
        assert cells == by_python(digits, row)
    finally:
        firefox.close()


# Other data


def test_names_from_data_are_inert(browser, digits, tmp_path):
    bad = ["</script><script>window.bad = 1</script>", "<img src=x onerror='window.bad = 1'>", '"&amp;', "]]>", "<!--"]
    found = told(digits)
    found["classes"] = bad + [f"'{k}" for k in range(5)]
    found["worth"]["lines"].append(bad[0])
    found["worth"]["rows"].append([bad[1], *bad[:4]])
    (tmp_path / "page.html").write_text(build_page(found), "utf-8")
    browser.open(tmp_path / "page.html")
    browser.until(f"{READY} !== null")
    assert browser.value("window.bad ?? null") is None
    assert texts(browser, "#bars tbody th") == found["classes"]
    assert texts(browser, "#worth-lines li")[-1] == bad[0]
    assert browser.console == []


def test_tables_have_no_pad_and_train_alike(browser, trained):
    browser.open(trained / PATHS.page, width=400)
    browser.until(f"{READY} !== null")
    assert browser.value("document.getElementById('draw').offsetHeight") == 0
    assert browser.value("document.documentElement.scrollWidth") == 400
    assert trained_to_the_end(browser) == deployed_digest(trained)
    dataset = Dataset.load(trained / PATHS.dataset)
    assert texts(browser, ".features dt") == dataset.feature_names
    example = int(re.match(r"Example (\d+)", text(browser, ".large p")).group(1))
    row = dataset.x[np.sort(dataset.rows("test"))[example]]
    assert [float(value) for value in texts(browser, ".features dd")] == row.tolist()
    assert browser.console == []


@pytest.mark.parametrize(("temperature", "shown"), [(0.25, "0.25"), (48.0, "48.0")])
def test_a_student_of_any_temperature_is_trained_at_it(browser, tmp_path, temperature, shown):
    folder = made(tmp_path, distill={"temperature": temperature}, student={"warmup": 0.5, "learning_rate": 0.01})
    browser.open(folder / PATHS.page)
    browser.until(f"{READY} !== null")
    assert texts(browser, "#train-controls output")[0] == shown
    assert "Python has not trained" not in text(browser, "#train-digest")
    assert trained_to_the_end(browser) == deployed_digest(folder)
    put(browser, HEAT, 9)
    browser.until("!document.getElementById('train-run').disabled")
    assert "Python has not trained" in text(browser, "#train-digest")
    browser.open(folder / PATHS.page, "#heat=1e9")
    browser.until(f"{READY} !== null")
    assert texts(browser, "#train-controls output")[0] == ("48.0" if temperature > 20 else "20.0")
    assert browser.console == []


def test_a_student_that_the_page_does_not_implement_is_not_trained_and_that_is_said(browser, tmp_path):
    student = {"optimizer": "adam", "dropout": 0.1, "hidden": [9], "learning_rate": 0.01}
    folder = made(tmp_path, student=student, distill={"loss": "mse"})
    browser.open(folder / PATHS.page)
    lacking = "distill.loss: mse, student.dropout: 0.1, student.optimizer: adam"
    browser.until("document.getElementById('train-lead').textContent !== ''")
    assert text(browser, "#train-lead") == (
        f"This page cannot train the student: its program does not implement {lacking}."
    )
    assert browser.value("document.getElementById('train-body').offsetHeight") == 0
    assert len(texts(browser, "#worth-table tbody tr")) > 3
    assert browser.console == []


def why_untrained(folder, distill=(), limit=100, **student):
    dataset = Dataset.load(folder / PATHS.dataset)
    models = {
        name: load_model(folder / path, dataset)
        for name, path in (("student", PATHS.student), ("baseline", PATHS.baseline))
    }
    params = quick_params(student=student)
    own = params.distill.model_dump() | params.distill.values_to_try() | dict(distill)
    return browser_training.why_untrained(dataset, models, recipe_of(params, "student", ()), own, limit)


def test_the_page_trains_what_it_implements(trained):
    assert why_untrained(trained) == ""
    assert why_untrained(trained, schedule="constant", nesterov=True, momentum=0.5, warmup=0.1, hidden=[3, 4]) == ""
    assert why_untrained(trained, {"beta": 3.0, "inter_class": 2.0, "intra_class": 0.5, "scale_by_t2": False}) == ""


@pytest.mark.parametrize(
    "student",
    [{"optimizer": "adam"}, {"optimizer": "adamw"}, {"weight_decay": 0.01}, {"input_dropout": 0.1}, {"dropout": 0.1},
     {"max_norm": 2.0}, {"patience": 3}, {"bits": 8}, {"schedule": "cosine"}],
)  # fmt: skip
def test_of_another_recipe_it_names_the_key(trained, student):
    ((key, value),) = student.items()
    assert why_untrained(trained, **student).endswith(f"its program does not implement student.{key}: {value}.")


@pytest.mark.parametrize("loss", ["mse", "dkd", "wttm", "dist", "ls"])
def test_of_another_loss_it_names_it(trained, loss):
    assert why_untrained(trained, {"loss": loss}).endswith(f"does not implement distill.loss: {loss}.")


def test_what_is_new_is_not_trained_until_the_page_implements_it(trained, monkeypatch):
    """A new key, and a new schedule of the library."""
    assert why_untrained(trained, {"gamma": 1.0}).endswith("does not implement distill.gamma: 1.0.")
    monkeypatch.setitem(SCHEDULES, "steps", SCHEDULES["linear"])
    dataset, models = Dataset.load(trained / PATHS.dataset), {}
    models["student"] = load_model(trained / PATHS.student, dataset)
    found = browser_training.why_untrained(dataset, models, Recipe(schedule="steps"), {}, 100)
    assert found.endswith("does not implement student.schedule: steps.")


@pytest.mark.parametrize(("student", "limit"), [({"hidden": [1025]}, 9), ({"hidden": [512, 512]}, 9), ({}, 1)])
def test_what_is_too_large_is_not_trained(trained, student, limit):
    assert re.search("allows 65536 multiply-adds|rows are too large", why_untrained(trained, limit=limit, **student))
