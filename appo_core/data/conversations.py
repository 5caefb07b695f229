"""The shape of tool-use conversations: order of roles, tags, and the cut at tool calls."""

import re

from appo_core.data.readers import Row

TAGS = ("think", "search", "python", "result", "answer")
_TAG = re.compile(rf"<(/?)({'|'.join(TAGS)})>")
_OPAQUE = frozenset({"search", "python", "result"})
"""Their content is data: other tags inside do not count."""
_FOLLOWERS = {
    "": {"human"},
    "human": {"function_call", "gpt"},
    "function_call": {"observation"},
    "observation": {"function_call", "gpt"},
    "gpt": {"human"},
}
_INLINE_CALL = re.compile(r"(.*?</(?:search|python)>)\s*<result>(.*?)</result>", re.DOTALL)


def role_error(roles: list[str]) -> str | None:
    """Why the roles do not alternate, or None: human first, `gpt` last, each `function_call` with its `observation`."""
    for before, role in zip(["", *roles], roles, strict=False):
        if role not in _FOLLOWERS.get(before, set()):
            return f"{role} after {before or 'nothing'}"
    return None if roles and roles[-1] == "gpt" else f"ends with {roles[-1] if roles else 'nothing'}, not with gpt"


def tag_error(text: str) -> str | None:
    """The first unbalanced tag of a response, or None."""
    stack: list[str] = []
    for closing, name in _TAG.findall(text):
        if stack and stack[-1] in _OPAQUE and (not closing or name != stack[-1]):
            continue
        if not closing:
            stack.append(name)
        elif not stack or stack.pop() != name:
            return f"</{name}> closes nothing"
    return f"<{stack[-1]}> is never closed" if stack else None


def shape_error(row: Row) -> str | None:
    """The first fault of a conversation's tags and tool turns, or None."""
    for turn in row["conversations"]:
        role, value = turn["from"], turn["value"]
        if role == "function_call" and not value.endswith(("</search>", "</python>")):
            return "a function_call does not end with </search> or </python>"
        if role == "observation" and not (value.startswith(" <result>\n") and value.endswith("\n</result>")):
            return "an observation is not ' <result>\\n...\\n</result>'"
    return tag_error(response_of(row))


def conversation_error(row: Row) -> str | None:
    """The first fault of a conversation's order, tags or tool turns, or None."""
    return role_error([turn["from"] for turn in row["conversations"]]) or shape_error(row)


def response_of(row: Row) -> str:
    """Everything after the human turns: the text that the rollout protocol would have produced."""
    return "".join(turn["value"] for turn in row["conversations"] if turn["from"] != "human")


def question_of(row: Row) -> str:
    """The first human turn."""
    return next((turn["value"] for turn in row["conversations"] if turn["from"] == "human"), "")


def cut_at_calls(row: Row) -> Row:
    """The same conversation with inline `<result>` blocks of assistant turns moved into turns of their own."""
    turns = [part for turn in row["conversations"] for part in _cut(turn)]
    return {**row, "conversations": turns}


def _cut(turn: Row) -> list[Row]:
    if turn["from"] != "gpt":
        return [turn]
    parts, end = [], 0
    for match in _INLINE_CALL.finditer(turn["value"]):
        call, output = match.groups()
        parts += [
            {"from": "function_call", "value": call},
            {"from": "observation", "value": f" <result>\n{output.strip(chr(10))}\n</result>"},
        ]
        end = match.end()
    return [*parts, {"from": "gpt", "value": turn["value"][end:]}]
