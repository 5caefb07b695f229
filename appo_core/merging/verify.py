"""Checks on weights and on the merged model, by comparing log-probs with the shards'."""

from pathlib import Path
from typing import Any

from appo_core.jobs.contract import JobError

PROBE_TEXT = (
    "Question: what is 12 times the height of the tower? <think> I have to look the height up first. </think> "
    "<search> height of the tower </search> <result>\nPage 1: The tower is 30 m high.\n</result> "
    "<python>\nprint(12 * 30)\n</python> <result>\n360\n</result> <answer> \\boxed{360} </answer>"
)
"""Text whose token ids are scored by both models."""


def check_weights(weights: dict[str, Any], expected: dict[str, tuple[int, ...]], tied: dict[str, str]) -> None:
    """Names, shapes, finiteness; `tied` names may be absent, and equal the one they are tied to if they are there.

    Raises `JobError` naming the first fault.
    """
    import torch

    missing = sorted(set(expected) - set(weights) - set(tied))
    surplus = sorted(set(weights) - set(expected))
    if missing or surplus:
        what = f"lacks {missing[0]} (of {len(missing)})" if missing else f"has unknown {surplus[0]} (of {len(surplus)})"
        raise JobError(f"the checkpoint {what}", remedy="check that config.json belongs to these weights")
    for name, tensor in weights.items():
        if tuple(tensor.shape) != expected[name]:
            raise JobError(
                f"{name} has shape {tuple(tensor.shape)}, the configuration says {expected[name]}",
                remedy="check that config.json belongs to these weights",
            )
        if not torch.isfinite(tensor).all():
            raise JobError(f"{name} holds values that are not finite", remedy="take an earlier checkpoint")
    for name, origin in tied.items():
        if name in weights and not torch.equal(weights[name], weights[origin]):
            raise JobError(
                f"{name} differs from {origin}, to which the configuration ties it",
                remedy="set tie_word_embeddings to false in config.json if they were trained apart",
            )


def check_tokenizer(source: Path, merged: Path) -> list[int]:
    """Ids of the probe text; raises `JobError` unless both folders' tokenizers agree on them and on the end token."""
    from transformers import AutoTokenizer

    first, second = (AutoTokenizer.from_pretrained(folder, local_files_only=True) for folder in (source, merged))
    ids: list[int] = first.encode(PROBE_TEXT, add_special_tokens=False)
    same = ids == second.encode(PROBE_TEXT, add_special_tokens=False)
    if not same or first.eos_token_id != second.eos_token_id or first.chat_template != second.chat_template:
        raise JobError("the merged tokenizer differs from the checkpoint's", remedy="re-run the merge")
    return ids


def logprobs(model: Any, ids: list[int]) -> Any:
    """Float32 log-probs, in nats, of ids[1:] given what stands before: shape (len(ids) - 1,)."""
    import torch

    with torch.inference_mode():
        tokens = torch.tensor([ids], device=model.device)
        scores = model.eval()(tokens).logits[0, :-1].float().log_softmax(-1)
        return scores.gather(-1, tokens[0, 1:, None]).squeeze(-1).cpu()


def largest_difference(first: Any, second: Any, limit: float) -> float:
    """Largest absolute difference; raises `JobError` when it is above `limit` or no number."""
    difference = float((first - second).abs().max())
    if not difference <= limit:
        raise JobError(
            f"log-probs before and behind the merge differ by {difference:.4g} nats, above {limit:g}",
            remedy="merge with dtype fp32, or raise merge.max_logprob_difference if rounding explains it",
        )
    return difference
