"""A model of some 20,000 weights that has learnt the protocol, and questions for it: rewards that differ, real calls.

The weights lie beside this file, so that every machine starts from the same ones;
``python -m tests.learnt`` (engine environment) learns them anew.
"""

import random
import sys
from pathlib import Path
from typing import Any

from appo_core.config.model import TinyModel
from appo_core.demo.model import build_model

WEIGHTS = Path(__file__).with_name("learnt.safetensors")
COLOURS = ("red", "green", "blue", "black")
SYSTEM = "demo"
"""A short built-in system prompt."""
SETTINGS = TinyModel(
    hidden_size=32, layers=1, heads=2, key_value_heads=1, head_dim=16, intermediate_size=48, vocabulary=320,
    max_positions=256,
)  # fmt: skip


def question(number: int) -> str:
    """Its answer is the colour whose place is the last digit modulo 4."""
    return f"Which colour is {number}?"


def responses(draw: random.Random) -> tuple[str, str]:
    """A response in two parts, between which the tool's result is injected where the first one ends in a call."""
    word, way = draw.choice(COLOURS), draw.random()
    answer = f"<answer>\\boxed{{{word}}}</answer>"
    if way < 0.15:
        return f"<think>so</think><python>print('{word}')</python>", answer
    if way < 0.3:
        return f"<think>so</think>{word}", ""
    return f"<think>{'so ' * draw.randrange(3)}</think>{answer}", ""


def texts() -> list[str]:
    """What the tokenizer is trained on."""
    draw = random.Random(0)
    return [question(number) + "".join(responses(draw)) for number in range(40)]


def make_model(folder: Path) -> Path:
    """Write the model folder."""
    from safetensors.torch import load_file, save_file

    build_model(SETTINGS, texts(), folder)
    weights = {name: tensor.float() for name, tensor in load_file(WEIGHTS).items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def make_data(folder: Path, train: int = 12, valid: int = 4) -> Path:
    """Write train.parquet and valid.parquet, as the data stage does."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    for split, numbers in (("train", range(train)), ("valid", range(50, 50 + valid))):
        pq.write_table(pa.Table.from_pylist([_row(split, number) for number in numbers]), folder / f"{split}.parquet")
    return folder


def _row(split: str, number: int) -> dict[str, Any]:
    return {
        "data_source": "colours",
        "prompt": [{"role": "system", "content": ""}, {"role": "user", "content": question(number)}],
        "ability": "qa",
        "reward_model": {"ground_truth": COLOURS[number % 10 % 4], "style": "rule"},
        "extra_info": {"index": number, "question": question(number), "split": split},
    }


def main() -> None:
    """Learn the weights by plain supervised steps and store them in half precision."""
    import tempfile

    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM

    from appo_core.rollout.codec import Codec
    from appo_core.rollout.inject import result_ids
    from appo_core.rollout.prompts import SYSTEM_PROMPTS

    with tempfile.TemporaryDirectory() as folder:
        build_model(SETTINGS, texts(), Path(folder))
        codec = Codec.load(folder)
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    optimizer, draw = torch.optim.AdamW(model.parameters(), lr=1e-2), random.Random(1)
    for step in range(int(sys.argv[1]) if sys.argv[1:] else 400):
        loss = torch.zeros(())
        for _ in range(8):
            first, second = responses(draw)
            prompt = codec.prompt_ids(SYSTEM_PROMPTS[SYSTEM], question(draw.randrange(60)))
            call = first.split("print('")[-1].split("'")[0] if second else ""
            injected = result_ids(codec, f"{call}\n", 16) if second else []
            parts = [
                (prompt, 0),
                (codec.encode(first), 1),
                (injected, 0),
                (codec.encode(second), 1),
                ([codec.eos_id], 1),
            ]
            ids = torch.tensor([token for part, _ in parts for token in part])
            wanted = torch.tensor([bool(mask) for part, mask in parts for _ in part])
            logits = model(input_ids=ids[None]).logits[0, :-1]
            loss = loss + torch.nn.functional.cross_entropy(logits[wanted[1:]], ids[1:][wanted[1:]]) / 8
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0:
            sys.stdout.write(f"step {step}: loss {float(loss):.3f}\n")
    state = {name: tensor.half() for name, tensor in model.state_dict().items() if name != "lm_head.weight"}
    save_file(state, WEIGHTS)


if __name__ == "__main__":
    main()
