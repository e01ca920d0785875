"""One HTML file of the folder `web` and the content. It asks for nothing from elsewhere."""

import json
import re
from pathlib import Path

from kdlib.deployment.c_template import filled

WEB = Path(__file__).parent / "web"
# Each imports from those before it alone. What a worker needs comes first.
KERNEL = (
    "floats", "elementary", "exact", "grids", "streams", "sha256", "losses", "dense", "network", "momentum", "training",
    "worker",
)  # fmt: skip
PAGE = (
    "dom", "state", "model", "charts", "integers", "soften", "gradients", "strokes", "pad", "draw", "lesson", "trainer",
    "progress", "train", "worth", "main",
)  # fmt: skip


def joined(names):
    """The modules as one script, each a function of its own that returns what it exports to the object `modules`."""
    parts = []
    for name in names:
        text = (WEB / f"{name}.mjs").read_text(encoding="utf-8")
        text = re.sub(r'^import (\{[^}]*\}) from "./(\w+).mjs";$', r"const \1 = modules.\2;", text, flags=re.MULTILINE)
        exported = re.findall(r"^export \w+ (\w+)", text, flags=re.MULTILINE)
        text = re.sub(r"^export ", "", text, flags=re.MULTILINE)
        parts.append(f'modules.{name} = (() => {{\n"use strict";\n{text}return {{ {", ".join(exported)} }};\n}})();\n')
    return "".join(parts)


def inert(value):
    """JSON that ends no script element."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def page(content):
    """The text of the page. content: for JSON."""
    return filled(
        (WEB / "page.html").read_text(encoding="utf-8"),
        STYLE=(WEB / "page.css").read_text(encoding="utf-8"), CONTENT=inert(content),
        KERNEL=joined(KERNEL), PAGE=joined(PAGE),
    )  # fmt: skip
