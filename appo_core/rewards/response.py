r"""What a response says in its tags: format check and answer extraction.

Tool results (`<result>` blocks behind a call) and the source of Python calls are not the model's own tags: their
content is blanked before tags are looked at. The published check does not do so; it is kept as an option.
"""

import re
from typing import Literal

Scoring = Literal["corrected", "reference"]

_RESULT = re.compile(r"(</(?:python|search)>\s*<result>)(.*?)(</result>|\Z)", re.DOTALL)
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
TOOL_TAGS = ("search", "python")


def own_text(response: str) -> str:
    """The response with the content of tool results and of Python calls blanked; the tags stay."""
    parts = _RESULT.sub(r"\1\3", response).split("</python>")
    return "</python>".join([*(_before_source(part) for part in parts[:-1]), parts[-1]])


def _before_source(part: str) -> str:
    """Text up to and including the last `<python>`, which opens the call that ends behind it."""
    at = part.rfind("<python>")
    return part if at < 0 else part[: at + len("<python>")]


def format_fault(response: str, scoring: Scoring = "corrected") -> str | None:
    """The first rule of the format that the response breaks, or None.

    Source: the six rules of the published APPO reward, applied to `own_text` unless `scoring` is `reference`.
    """
    text = response if scoring == "reference" else own_text(response)
    return _think_fault(text) or _answer_count_fault(text) or _calls_fault(text) or _box_fault(text)


def _think_fault(text: str) -> str | None:
    opened, closed = text.count("<think>"), text.count("</think>")
    if opened != closed:
        return f"<think> and </think> are not balanced ({opened} and {closed})"
    return None if opened else "no <think> block"


def _answer_count_fault(text: str) -> str | None:
    opened, closed = text.count("<answer>"), text.count("</answer>")
    return None if opened == closed == 1 else f"one <answer> block is expected ({opened} opened, {closed} closed)"


def _calls_fault(text: str) -> str | None:
    """Each call must be closed and be followed by a closed result."""
    for tag in TOOL_TAGS:
        at = text.find(f"<{tag}>")
        while at >= 0:
            for expected in (f"</{tag}>", "<result>", "</result>"):
                at = text.find(expected, at)
                if at < 0:
                    return f"<{tag}> is not followed by {expected}"
            at = text.find(f"<{tag}>", at)
    return None


def _box_fault(text: str) -> str | None:
    start, end = text.find("<answer>"), text.find("</answer>")
    if start > end:
        return "</answer> comes before <answer>"
    inside = text[start:end]
    box = inside.find("\\boxed{")
    return None if box >= 0 and "}" in inside else "no \\boxed{} inside <answer>"


def extract_answer(response: str) -> str | None:
    r"""Content of the last balanced `\boxed{}` inside the first `<answer>`, stripped; None where there is none."""
    found = _ANSWER.search(own_text(response))
    return boxed(found.group(1)) if found else None


def boxed(text: str) -> str | None:
    r"""Content of the last `\boxed{}` whose braces balance, stripped; None where there is none."""
    for found in reversed(list(_BOXED.finditer(text))):
        end = _closing_brace(text, found.end())
        if end is not None:
            return text[found.end() : end].strip()
    return None


def _closing_brace(text: str, start: int) -> int | None:
    """Index of the brace that closes the one opened just before `start`; escaped braces do not count."""
    depth, at = 1, start
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] in "{}":
            depth += 1 if text[at] == "{" else -1
            if depth == 0:
                return at
        at += 1
    return None


def extract_reference_answer(response: str) -> str | None:
    r"""As the published code does: tags anywhere, `\boxed x` up to a `$`, every brace counted."""
    found = _ANSWER.search(response)
    if found is None:
        return None
    text = found.group(1)
    if "\\boxed " in text:
        return text.rsplit("\\boxed ", 1)[1].split("$")[0]
    start = text.rfind("\\boxed{")
    depth = 0
    for at in range(max(start, 0), len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if start >= 0 and text[at] == "}" and depth == 0:
            return text[start + len("\\boxed{") : at]
    return None
