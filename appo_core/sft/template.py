"""From a model's own chat template to LLaMA-Factory slots that give exactly the ids of the rollout protocol.

The prompt is rendered by the tokenizer's chat template and handed over as it is; calls, results and the final text
are encoded one by one, as rollouts encode them; the last one is closed by the template's end-of-turn token.
"""

from typing import TYPE_CHECKING, Any

from appo_core.jobs.contract import JobError
from appo_core.sft.rows import Conversation

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TEMPLATE_NAME = "appo_rollout"
"""Name under which the slots are registered with LLaMA-Factory."""
_CONTENT = "{{content}}"
_PROBE = "probe-of-the-assistant-turn"


def render_prompt(tokenizer: "PreTrainedTokenizerBase", conversation: Conversation) -> str:
    """Text of the prompt up to and including the opening of the assistant's turn."""
    messages = [{"role": "user", "content": conversation.prompt}]
    if conversation.system:
        messages.insert(0, {"role": "system", "content": conversation.system})
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def end_of_turn(tokenizer: "PreTrainedTokenizerBase") -> str:
    """The special token that closes an assistant turn; `JobError` when the chat template has none."""
    if not tokenizer.chat_template:
        raise JobError(
            "the base model's tokenizer has no chat template", remedy="add chat_template.jinja to its folder"
        )
    turns = [{"role": "user", "content": "probe"}, {"role": "assistant", "content": _PROBE}]
    rest = str(tokenizer.apply_chat_template(turns, tokenize=False)).rpartition(_PROBE)[2].strip()
    added = sorted((str(token) for token in tokenizer.get_added_vocab()), key=len, reverse=True)
    for token in added:
        if rest.startswith(token):
            return token
    if tokenizer.eos_token is None:
        raise JobError(
            "the chat template closes no assistant turn and the tokenizer has no eos_token",
            remedy="name an eos_token in tokenizer_config.json",
        )
    return str(tokenizer.eos_token)


def register(end_token: str) -> None:
    """Register the raw slots with LLaMA-Factory; `end_token` becomes the tokenizer's end-of-sequence token."""
    from llamafactory.data.formatter import EmptyFormatter
    from llamafactory.data.template import TEMPLATES, register_template

    text, closed = _raw_formatter([]), _raw_formatter([{"token": end_token}])
    TEMPLATES.pop(TEMPLATE_NAME, None)
    register_template(
        name=TEMPLATE_NAME,
        format_user=text,
        format_assistant=closed,
        format_function=text,
        format_observation=text,
        format_prefix=EmptyFormatter(slots=[]),
        stop_words=[end_token],
        replace_eos=True,
    )


def _raw_formatter(tail: list[Any]) -> Any:
    """A formatter that passes the text through unread (no placeholders, no JSON calls), then `tail`."""
    from llamafactory.data.formatter import Formatter

    class RawFormatter(Formatter):
        def apply(self, **kwargs: Any) -> Any:
            return [kwargs["content"] if slot == _CONTENT else slot for slot in self.slots]

    return RawFormatter(slots=[_CONTENT, *tail])
