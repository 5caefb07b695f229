"""A PEFT adapter onto its base model, in float32."""

import json
from pathlib import Path
from typing import Any

from appo_core.jobs.contract import JobError
from appo_core.merging.layouts import ADAPTER
from appo_core.merging.verify import logprobs

WEIGHTS = "adapter_model.safetensors"
_TIED = ("lm_head", "embed_tokens")


def adapter_config(folder: Path) -> dict[str, Any]:
    """What `adapter_config.json` says; raises `JobError` for what cannot be merged."""
    try:
        config = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))
    except ValueError as error:
        raise JobError(f"{folder / ADAPTER} is no JSON: {error}", remedy="copy the adapter again") from None
    if not (folder / WEIGHTS).is_file():
        raise JobError(f"{folder} has no {WEIGHTS}", remedy="save the adapter with safetensors, not as a pickle")
    return dict(config)


def merge_adapter(base: Path, adapter: Path, ids: list[int]) -> tuple[Any, Any]:
    """The merged float32 model, and the log-probs of `ids` that base and adapter gave before they were merged.

    Raises `JobError` when the adapter does not fit the base model in every name and shape.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    config = adapter_config(adapter)
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            base, dtype=torch.float32, local_files_only=True, use_safetensors=True
        )
        wrapped: Any = PeftModel.from_pretrained(model, str(adapter), local_files_only=True)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise JobError(
            f"the adapter {adapter} does not fit {base}: {reason}", remedy="give the model it was trained on"
        ) from None
    if not hasattr(wrapped.base_model, "merge_and_unload"):
        raise JobError(
            f"{adapter}: adapters of type {config.get('peft_type')} cannot be merged",
            remedy="serve it with its base model",
        )
    _complete(wrapped, adapter)
    _tied_apart(model, wrapped, adapter)
    before = logprobs(wrapped, ids)
    return wrapped.merge_and_unload(), before


def _complete(wrapped: Any, adapter: Path) -> None:
    """PEFT only warns of names it misses, and says nothing of those it does not know."""
    from peft import get_peft_model_state_dict
    from safetensors import safe_open

    wanted = set(get_peft_model_state_dict(wrapped))
    with safe_open(str(adapter / WEIGHTS), framework="pt") as file:
        found = set(file.keys())
    for what, names in (("lacks", wanted - found), ("has unknown", found - wanted)):
        if names:
            raise JobError(
                f"{adapter / WEIGHTS} {what} {min(names)} (of {len(names)})", remedy="give the model it was trained on"
            )


def _tied_apart(model: Any, wrapped: Any, adapter: Path) -> None:
    """Merging into one end of a tied pair would change the other."""
    changed = {
        name for name, _ in wrapped.named_parameters() for end in _TIED if f".{end}." in name and "lora_" in name
    }
    if changed and model.config.tie_word_embeddings:
        raise JobError(
            f"{adapter} changes {min(changed)}, but the base model ties head and embedding",
            remedy="train it on a base model with tie_word_embeddings false",
        )
