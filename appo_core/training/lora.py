"""LoRA in the policy: PEFT's layers inside the model, the merged weights they stand for, the policy without them."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from appo_core.config.lora import LoraSettings
from appo_core.jobs.contract import JobError

# PEFT is imported where an adapter is asked for: full fine-tuning needs none.
if TYPE_CHECKING:
    from peft import LoraConfig

NAME = "default"
"""PEFT's name of the one adapter; it stands in parameter names and not in files."""
PREFIX = "base_model.model."
"""What PEFT puts before a model's own names in an adapter's file."""
_BASE, _A, _B = ".base_layer.", f".lora_A.{NAME}.", f".lora_B.{NAME}."


def lora_config(settings: LoraSettings) -> "LoraConfig":
    """The settings as PEFT's."""
    from peft import LoraConfig

    chosen = settings.target_modules
    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=chosen if isinstance(chosen, str) else list(chosen),
        task_type="CAUSAL_LM",
    )


def add_adapter(model: nn.Module, settings: LoraSettings, seed: int) -> None:
    """Put a fresh adapter into `model`, in place: equal on all ranks, float32, and all that is trained.

    Raises `JobError` for a target module the model does not have.
    """
    from peft import inject_adapter_in_model

    _check_targets(model, settings)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        inject_adapter_in_model(lora_config(settings), model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(is_adapter(name))
        if is_adapter(name):
            parameter.data = parameter.data.float()


def _check_targets(model: nn.Module, settings: LoraSettings) -> None:
    linear = {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    wanted = [] if isinstance(settings.target_modules, str) else settings.target_modules
    unknown = [name for name in wanted if name.rpartition(".")[2] not in linear]
    if unknown:
        raise JobError(
            f"rl.lora.target_modules: the model has no linear layer '{unknown[0]}'",
            remedy=f"choose from {', '.join(sorted(linear - {'lm_head'}))}, or all-linear",
        )


def write_adapter(folder: Path, settings: LoraSettings, weights: Mapping[str, Tensor], base: str) -> None:
    """Write a trained adapter as PEFT does, from tensors by their names in PEFT's files; `base` names its model."""
    config = lora_config(settings)
    layers = {name.removeprefix(PREFIX).rpartition(".lora_")[0].rpartition(".")[2] for name in weights}
    if isinstance(settings.target_modules, str):
        config.target_modules = layers
    config.target_modules = sorted(config.target_modules or ())
    config.base_model_name_or_path = base
    config.inference_mode = True
    config.save_pretrained(str(folder))
    tensors = {name: weights[name].contiguous() for name in sorted(weights)}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    (folder / "adapter_model.safetensors").chmod(0o644)


def is_adapter(name: str) -> bool:
    """Whether a parameter belongs to the adapter."""
    return _A in name or _B in name


def file_name(name: str) -> str:
    """Name of an adapter's parameter in PEFT's files, from its name in the model."""
    return PREFIX + name.replace(f".{NAME}.", ".")


def parameter_name(name: str) -> str:
    """The inverse of `file_name`."""
    for part in (_A, _B):
        name = name.replace(part.replace(f"{NAME}.", ""), part)
    return name.removeprefix(PREFIX)


def scalings(model: nn.Module) -> dict[str, float]:
    """Name of every layer with an adapter -> the factor that its B A counts."""
    return {name: float(layer.scaling[NAME]) for name, layer in _layers(model).items()}


def _layers(model: nn.Module) -> dict[str, Any]:
    """PEFT's layers by name; none without PEFT."""
    if "peft" not in sys.modules:
        return {}
    from peft.tuners.tuners_utils import BaseTunerLayer

    return {name: module for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)}


def merged(state: Mapping[str, Tensor], factors: Mapping[str, float]) -> Iterator[tuple[str, Tensor]]:
    """The model's own names and whole tensors, W + factor * B A where there is an adapter; a collective when sharded.

    The sum is made in float32 and has W's data type; nothing of `state` changes.
    """
    for name, tensor in state.items():
        if is_adapter(name):
            continue
        layer, base, rest = name.rpartition(_BASE)
        if base and rest == "weight":
            low_A, low_B = (whole(state[f"{layer}{part}weight"]).float() for part in (_A, _B))
            yield f"{layer}.weight", (whole(tensor).float() + factors[layer] * (low_B @ low_A)).to(tensor.dtype)
        else:
            yield name.replace(_BASE, "."), whole(tensor)


def whole(tensor: Any) -> Tensor:
    """The tensor itself, gathered when it is sharded."""
    gathered: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return gathered


@contextmanager
def adapter_off(model: nn.Module) -> Iterator[None]:
    """The model without its adapter, for passes that need no gradient."""
    layers = list(_layers(model).values())
    # PEFT's own switch freezes the adapter, too, and sharded parameters take over what they find at their first pass.
    for layer in layers:
        layer._disable_adapters = True
    try:
        yield
    finally:
        for layer in layers:
            layer._disable_adapters = False
