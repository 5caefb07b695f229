"""Built-in system prompts: the task, the tags and the form of the answer."""

from appo_core.config.rollout import PromptSettings

_ANSWER = (
    "When you are sure, close with exactly one answer block that holds the exact final result in a box: "
    "<answer> \\[ \\boxed{final result} \\] </answer>."
)
_THINK = "Work step by step. Write your reasoning between <think> and </think>, as often as you need to."
_SEARCH = "To look a fact up, write one query as <search> query </search>."
_PYTHON = (
    "To calculate or check something, write a complete program as <python> code </python> and print what you need."
)
_RESULT = (
    "Stop after a call; its outcome is then given to you between <result> and </result>, and you reason on from there. "
    "Never write a result yourself."
)

SYSTEM_PROMPTS: dict[str, str] = {
    "code_search": " ".join(
        (
            "You answer questions with the help of two tools, a search engine and a Python interpreter.",
            _THINK, _SEARCH, _PYTHON, _RESULT, _ANSWER,
            "A typical course: <think> what is missing </think> <search> query </search> <result> findings </result> "
            "<think> what follows </think> <python> code </python> <result> output </result> "
            "<think> conclusion </think> <answer> \\[ \\boxed{final result} \\] </answer>",
        )
    ),
    "search": " ".join(
        ("You answer questions with the help of a search engine.", _THINK, _SEARCH, _RESULT, _ANSWER)
    ),
    "math": " ".join(
        ("You solve mathematical problems with the help of a Python interpreter.", _THINK, _PYTHON, _RESULT, _ANSWER)
    ),
    "base": " ".join(("You answer questions without any tool.", _THINK, _ANSWER)),
    "code_search_cn": (
        "你可以借助两个工具回答问题：搜索引擎和 Python 解释器。"
        "请逐步思考，把推理写在 <think> 与 </think> 之间，可以多次思考。"
        "需要查找事实时，写 <search> 查询 </search>，每次只写一个查询。"
        "需要计算或验证时，写 <python> 代码 </python>，并打印所需的内容。"
        "每次调用后停下，工具的输出会出现在 <result> 与 </result> 之间，然后继续推理；不要自己编写输出。"
        "确定之后，只写一个答案块，把准确的最终结果放进方框：<answer> \\[ \\boxed{最终结果} \\] </answer>。"
    ),
    "demo": "Use <search> and <python>.",
}  # fmt: skip
"""System prompt by name."""


def system_prompt(settings: PromptSettings, row_system: str | None) -> str:
    """The system prompt of one row.

    `row` takes the row's own (`ValueError` when it has none); any other name takes the built-in one
    (`ValueError` for an unknown name).
    """
    if settings.system == "row":
        if row_system is None:
            raise ValueError("prompt.system is `row` but the row has no system message; name a built-in prompt")
        return row_system
    if settings.system not in SYSTEM_PROMPTS:
        raise ValueError(f"prompt.system {settings.system!r} is unknown; choose from row, {', '.join(SYSTEM_PROMPTS)}")
    return SYSTEM_PROMPTS[settings.system]
