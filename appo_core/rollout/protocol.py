"""The tool-use protocol as text: calls, results and the messages the model gets instead of a result.

A call is ``<name>argument</name>``. Only text the model wrote since the last result is searched, never the prompt and
never a result, so tags quoted there can neither be executed nor counted.
"""

from collections.abc import Iterable
from dataclasses import dataclass

RESULT_OPEN = " <result>\n"
RESULT_CLOSE = "\n</result>"


@dataclass(frozen=True)
class Request:
    """A call found in the text. `problem` is the message for the model when there is nothing to run."""

    tool: str
    argument: str
    problem: str | None = None


def stop_string(tool: str) -> str:
    """The closing tag at which generation stops."""
    return f"</{tool}>"


def find_request(text: str, tools: Iterable[str]) -> Request | None:
    """The call that the last closing tag in `text` ends, or None without a closing tag of one of `tools`.

    The argument stands between that tag and the last opening tag before it, stripped.
    """
    ends = {tool: text.rfind(stop_string(tool)) for tool in tools}
    tool = max(ends, key=ends.__getitem__, default=None)
    if tool is None or ends[tool] < 0:
        return None
    opening = f"<{tool}>"
    start = text.rfind(opening, 0, ends[tool])
    if start < 0:
        return Request(tool, "", f"Nothing was run: the closing {tool} tag has no opening tag before it.")
    argument = text[start + len(opening) : ends[tool]].strip()
    return Request(tool, argument, None if argument else f"Nothing was run: the {tool} call is empty.")


def result_text(output: str) -> str:
    """What is injected for an output; an empty output is injected as empty."""
    return f"{RESULT_OPEN}{output}{RESULT_CLOSE}"


def limit_message(call_limit: int) -> str:
    """What the model reads instead of a result once its calls are used up."""
    return f"Nothing was run: the limit of {call_limit} tool calls is reached. Give the final answer now."


def split_stops(text: str, stops: Iterable[str]) -> tuple[str, ...]:
    """What is left of the stop strings that `text` ends in the middle of.

    An engine looks for stop strings in what it generates. A branch may start inside a closing tag; then only the
    tag's rest is generated, and that rest has to stop the engine.
    """
    return tuple(stop[cut:] for stop in stops for cut in range(1, len(stop)) if text.endswith(stop[:cut]))
