"""Build one HTML file from the folder `web` and the content. The file loads nothing from elsewhere."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from kdlib.io.text_template import fill_template

WEB = Path(__file__).parent / "web"
# Each module imports only from those before it. Those that a worker needs come first.
KERNEL = (
    "floats", "elementary", "exact", "grids", "streams", "sha256", "losses", "dense", "network", "momentum", "training",
    "worker",
)  # fmt: skip
PAGE = (
    "dom", "state", "model", "charts", "integers", "soften", "gradients", "strokes", "pad", "draw", "lesson", "trainer",
    "progress", "train", "worth", "main",
)  # fmt: skip


def joined(names: Sequence[str]) -> str:
    """Bundle JavaScript modules into one script.

    Each module becomes a function that returns its exports, which are kept in the object `modules`.

    Parameters
    ----------
    names : sequence of str
        Of files in `web`, without the suffix.
    """
    parts = []
    for name in names:
        text = (WEB / f"{name}.mjs").read_text(encoding="utf-8")
        text = re.sub(r'^import (\{[^}]*\}) from "./(\w+).mjs";$', r"const \1 = modules.\2;", text, flags=re.MULTILINE)
        exported = re.findall(r"^export \w+ (\w+)", text, flags=re.MULTILINE)
        text = re.sub(r"^export ", "", text, flags=re.MULTILINE)
        parts.append(f'modules.{name} = (() => {{\n"use strict";\n{text}return {{ {", ".join(exported)} }};\n}})();\n')
    return "".join(parts)


def inert(value: object) -> str:
    """Return JSON that cannot end a script element."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def page(content: dict) -> str:
    """Return the text of the page.

    Parameters
    ----------
    content : dict
        What JSON can hold, see `kdlib.page.content.content`.
    """
    return fill_template(
        (WEB / "page.html").read_text(encoding="utf-8"),
        STYLE=(WEB / "page.css").read_text(encoding="utf-8"), CONTENT=inert(content),
        KERNEL=joined(KERNEL), PAGE=joined(PAGE),
    )  # fmt: skip
