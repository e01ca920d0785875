"""Build one HTML file from the folder `web` and the data. The file loads nothing from elsewhere."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from kdlib.io.text_template import fill_template

WEB_FOLDER = Path(__file__).parent / "web"
# Each module imports only from those before it. Those that a worker needs come first.
WORKER_MODULES = (
    "floats", "elementary", "exact", "grids", "streams", "sha256", "losses", "dense", "network", "momentum", "training",
    "worker",
)  # fmt: skip
PAGE_MODULES = (
    "dom", "state", "model", "charts", "integers", "soften", "gradients", "strokes", "pad", "draw", "lesson", "trainer",
    "progress", "train", "worth", "main",
)  # fmt: skip


def bundle_modules(names: Sequence[str]) -> str:
    """Bundle JavaScript modules into one script.

    Each module becomes a function that returns its exports, which are kept in the object `modules`.

    Parameters
    ----------
    names : sequence of str
        Of files in `web`, without the suffix.
    """
    parts = []
    for name in names:
        text = (WEB_FOLDER / f"{name}.mjs").read_text(encoding="utf-8")
        text = re.sub(r'^import (\{[^}]*\}) from "./(\w+).mjs";$', r"const \1 = modules.\2;", text, flags=re.MULTILINE)
        exported = re.findall(r"^export \w+ (\w+)", text, flags=re.MULTILINE)
        text = re.sub(r"^export ", "", text, flags=re.MULTILINE)
        parts.append(f'modules.{name} = (() => {{\n"use strict";\n{text}return {{ {", ".join(exported)} }};\n}})();\n')
    return "".join(parts)


def script_safe_json(value: object) -> str:
    """Return JSON that cannot end a script element."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def build_page(data: dict) -> str:
    """Return the text of the page.

    Parameters
    ----------
    data : dict
        What JSON can hold, see `kdlib.page.page_data.page_data`.
    """
    return fill_template(
        (WEB_FOLDER / "page.html").read_text(encoding="utf-8"),
        STYLE=(WEB_FOLDER / "page.css").read_text(encoding="utf-8"), CONTENT=script_safe_json(data),
        KERNEL=bundle_modules(WORKER_MODULES), PAGE=bundle_modules(PAGE_MODULES),
    )  # fmt: skip
