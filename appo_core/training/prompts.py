"""RL prompts from Parquet, and which of them a step takes."""

import random
from dataclasses import dataclass
from pathlib import Path

from appo_core.config.rollout import LoopLimits, PromptSettings
from appo_core.jobs.contract import JobError
from appo_core.rewards import Kind
from appo_core.rollout.codec import Codec
from appo_core.rollout.prompts import system_prompt


@dataclass(frozen=True)
class Prompt:
    """One question with its encoded prompt and its gold answer."""

    uid: str
    question: str
    gold: str
    kind: Kind
    """How answers are compared: mathematically or as text."""
    ids: list[int]


def load_prompts(
    path: Path, codec: Codec, settings: PromptSettings, limits: LoopLimits, *, required: bool = True
) -> list[Prompt]:
    """The prompts of one Parquet file; none where it has no rows, or is not there, and is not `required`.

    Raises:
        JobError: a prompt longer than `limits.max_prompt_tokens`, a system prompt that is not there, or a required
            file without rows.
    """
    import pyarrow.parquet as pq  # only files need it, and not every machine with a GPU has it

    if not required and not path.exists():
        return []
    prompts = []
    for row in pq.read_table(path).to_pylist():
        messages = {message["role"]: message["content"] for message in row["prompt"]}
        info = row["extra_info"]
        uid = f"{info['split']}-{info['index']}"
        try:
            system = system_prompt(settings, messages.get("system"))
        except ValueError as error:
            raise JobError(f"{path.name}: row {uid}: {error}", remedy="correct prompt.system") from error
        ids = codec.prompt_ids(system, messages["user"])
        if len(ids) > limits.max_prompt_tokens:
            raise JobError(
                f"{path.name}: row {uid}: prompt has {len(ids)} tokens, more than limits.max_prompt_tokens "
                f"({limits.max_prompt_tokens})",
                remedy="raise the limit or drop the row",
            )
        kind: Kind = "math" if row["ability"] == "math" else "qa"
        prompts.append(Prompt(uid, messages["user"], row["reward_model"]["ground_truth"], kind, ids))
    if required and not prompts:
        raise JobError(f"{path.name} has no rows", remedy="check the data stage")
    return prompts


def step_prompts(prompts: list[Prompt], step: int, count: int, seed: int | str) -> list[Prompt]:
    """The prompts of one step: epochs of seeded permutations, cut into batches across epoch borders.

    A pure function of its arguments, so that a resumed run needs no sampler state.
    """
    chosen: list[Prompt] = []
    position = step * count
    while len(chosen) < count:
        epoch, offset = divmod(position + len(chosen), len(prompts))
        order = random.Random(f"{seed}/{epoch}").sample(range(len(prompts)), len(prompts))
        chosen += [prompts[index] for index in order[offset : offset + count - len(chosen)]]
    return chosen
