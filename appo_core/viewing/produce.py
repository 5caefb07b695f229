"""The page as part of a run's results, beside the dumps it was made of."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from appo_core.viewing.dump_file import choose_step
from appo_core.viewing.outline import outline
from appo_core.viewing.page import render
from appo_core.viewing.pieces import TOKENIZER_FILE, Pieces
from appo_core.viewing.step import load_step

PAGE, OUTLINE = "view.html", "view.md"


def add_view(folder: Path, model: Path, context: Mapping[str, Any], log: Callable[[str], None]) -> None:
    """Put the tokenizer, the page of the newest step and its outline into a folder of dumps; nothing where none are.

    `context` is that of the job: the chain's name and the stage key. A page that cannot be drawn is logged: what it
    shows was trained on all the same, and can be drawn again from the dump.
    """
    if not folder.is_dir():
        return
    try:
        if (model / TOKENIZER_FILE).is_file():
            shutil.copy2(model / TOKENIZER_FILE, folder / TOKENIZER_FILE)
        _draw(folder, model, context)
    except Exception as error:  # noqa: BLE001 - see above
        log(f"no page of the rollouts: {type(error).__name__}: {error}")


def _draw(folder: Path, model: Path, context: Mapping[str, Any]) -> None:
    number, name = choose_step((path.name for path in folder.iterdir()), None, str(folder))
    body = (folder / name).read_bytes()
    step = load_step(body, name, Pieces.load(model), title=_title(context), number=number)
    (folder / PAGE).write_text(render(step), encoding="utf-8")
    (folder / OUTLINE).write_text(outline(step), encoding="utf-8")


def _title(context: Mapping[str, Any]) -> str:
    """The reference under which the folder will be published, as far as it is known."""
    from appo_core.artifacts import version_of

    name, key = context.get("name"), context.get("key")
    return f"rollouts/{name}" + (f"@{version_of(key)}" if key else "") if name else "rollouts"
