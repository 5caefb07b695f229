"""The page: one HTML file that needs nothing else.

What models and tools wrote is untrusted. It enters the page only as JSON in data blocks in which no `<`, `>` or `&`
is left, and is only ever shown as text. Behind that stands a content security policy: no script or style but the
page's own (by digest), and no connection to anywhere.
"""

import base64
import hashlib
import html
from pathlib import Path

from appo_core.viewing.colours import STEPS, css
from appo_core.viewing.step import Step, dump_json

ASSETS = Path(__file__).parent / "assets"
SCRIPTS = ("base.js", "tooltip.js", "tree.js", "transcript.js", "overview.js", "figure.js", "main.js")
"""In this order they make up the page's one script."""
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def render(step: Step) -> str:
    """The page of a step."""
    script = "(()=>{'use strict';\n" + "\n".join(_asset(name) for name in SCRIPTS) + "\n})();"
    style = css() + "\n" + _asset("page.css")
    blocks = [data_block("index", dump_json(step.index | {"steps_per_scale": STEPS}))]
    blocks += [data_block(f"prompt-{place}", prompt.payload) for place, prompt in enumerate(step.prompts)]
    parts = {
        "TITLE": html.escape(f"{step.title} · step {step.number}"),
        "POLICY": _policy(script, style),
        "STYLE": style,
        "DATA": "\n".join(blocks),
        "SCRIPT": script,
    }
    return _fill(_asset("page.html"), parts)


def data_block(name: str, json_text: str) -> str:
    """JSON in a script element that is never run, whatever its strings hold."""
    return f'<script type="application/json" id="{name}">{escape_json(json_text)}</script>'


def escape_json(json_text: str) -> str:
    """The same JSON without any character that means something to HTML; they only occur inside of strings."""
    for character, escaped in _ESCAPES.items():
        json_text = json_text.replace(character, escaped)
    # Half of a surrogate pair cannot be written as UTF-8.
    return "".join(f"\\u{ord(one):04x}" if 0xD800 <= ord(one) <= 0xDFFF else one for one in json_text)


def _policy(script: str, style: str) -> str:
    return (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _fill(template: str, parts: dict[str, str]) -> str:
    """Put each part in its place, once, in one pass: no part is searched for the place of another."""
    pieces = template.split("@@")
    return "".join(parts[piece] if place % 2 else piece for place, piece in enumerate(pieces))


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")
