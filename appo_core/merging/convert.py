"""From weights to a Hugging Face folder, and back for checking. Models are computed in float32."""

import shutil
from pathlib import Path
from typing import Any

from appo_core.jobs.contract import JobError
from appo_core.merging.layouts import OTHER_WEIGHTS

MAX_SHARD = "5GB"
DTYPES = {"bf16": "bfloat16", "fp32": "float32"}


def load_config(hf: Path) -> Any:
    """The model's configuration; raises `JobError` when the folder has none."""
    from transformers import AutoConfig

    for name in ("config.json", "tokenizer_config.json"):
        if not (hf / name).is_file():
            raise JobError(
                f"no {name} beside the weights ({hf})", remedy="copy the model's configuration and tokenizer there"
            )
    return AutoConfig.from_pretrained(hf, local_files_only=True)


def expected_shapes(config: Any) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Name -> shape of every parameter, and name -> the one it is tied to, for those that may be absent from files.

    Raises `JobError` for a configuration of another kind of model.
    """
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except ValueError:
        raise JobError(
            f"config.json describes a {config.model_type}, not a causal language model", remedy="give one"
        ) from None
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    return shapes, dict(model.all_tied_weights_keys)


def build(config: Any, weights: dict[str, Any]) -> Any:
    """A float32 model with exactly these weights."""
    import torch
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    model_class = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    return model_class.from_pretrained(None, config=config, state_dict=dict(weights), dtype=torch.float32)


def reload(folder: Path) -> Any:
    """The model as anyone would load it from `folder`, computed in float32."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)


def write(model: Any, hf: Path, output: Path, dtype: str) -> None:
    """Write `model` (cast in place) as safetensors, with every other file of `hf` copied as it is."""
    import torch

    model.to(getattr(torch, DTYPES[dtype])).save_pretrained(output, max_shard_size=MAX_SHARD)
    for file in hf.iterdir():
        if file.is_file() and file.name != "config.json" and not file.name.endswith(OTHER_WEIGHTS):
            shutil.copyfile(file, output / file.name)
    for file in output.glob("*.safetensors"):
        file.chmod(0o644)
