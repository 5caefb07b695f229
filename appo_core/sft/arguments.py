"""The arguments that LLaMA-Factory gets."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appo_core.config.sft import SftSettings
from appo_core.sft.dataset import DATASET_NAME
from appo_core.sft.template import TEMPLATE_NAME

LOGS_PER_RUN = 200


@dataclass(frozen=True)
class Folders:
    """Where the base model, the converted dataset and the run's own files are."""

    model: Path
    dataset: Path
    run: Path


def steps_in_total(rows: int, settings: SftSettings) -> int:
    """Optimiser steps of the run (without packing, which needs fewer)."""
    batches = math.ceil(rows / (settings.batch_size * settings.processes))
    return math.ceil(math.ceil(batches / settings.gradient_accumulation) * settings.epochs)


def training_arguments(settings: SftSettings, folders: Folders, rows: int, *, cuda: bool) -> dict[str, Any]:
    """LLaMA-Factory's flat dictionary: full fine-tuning, no evaluation, no uploads, every file under `folders`."""
    return {
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "full",
        "model_name_or_path": str(folders.model),
        "dataset_dir": str(folders.dataset),
        "dataset": DATASET_NAME,
        "template": TEMPLATE_NAME,
        "cutoff_len": settings.cutoff_tokens,
        "packing": settings.packing,
        "neat_packing": settings.packing,
        "overwrite_cache": True,
        "cache_dir": str(folders.run / "cache"),
        "output_dir": str(folders.run / "train"),
        "disable_gradient_checkpointing": not settings.gradient_checkpointing,
        **_optimisation(settings),
        **_saving(settings, rows),
        **_hardware(settings, cuda=cuda),
    }


def _optimisation(settings: SftSettings) -> dict[str, Any]:
    return {
        "per_device_train_batch_size": settings.batch_size,
        "gradient_accumulation_steps": settings.gradient_accumulation,
        "learning_rate": settings.learning_rate,
        "num_train_epochs": settings.epochs,
        "lr_scheduler_type": settings.scheduler,
        "warmup_steps": settings.warmup_ratio,  # a fraction below 1 is a share of all steps
        "weight_decay": settings.weight_decay,
        "train_sampling_strategy": "group_by_length" if settings.group_by_length else "random",
        "seed": settings.seed,
    }


def _saving(settings: SftSettings, rows: int) -> dict[str, Any]:
    return {
        "logging_steps": max(1, steps_in_total(rows, settings) // LOGS_PER_RUN),
        "logging_nan_inf_filter": False,  # otherwise a NaN loss is shown as the running mean
        "save_steps": settings.save_steps,
        "save_total_limit": 2,
        "report_to": "none",
        "disable_tqdm": True,
        # the block-diagonal mask of packed rows is no count of tokens
        "include_num_input_tokens_seen": "all" if settings.packing else "non_padding",
    }


def _hardware(settings: SftSettings, *, cuda: bool) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "bf16": settings.precision == "bf16",
        "use_cpu": not cuda,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": cuda,
    }
    if cuda and settings.processes > 1:
        arguments["fsdp"] = "full_shard auto_wrap"
        arguments["fsdp_config"] = {
            "version": 2,
            "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "reshard_after_forward": True,
            "state_dict_type": "FULL_STATE_DICT",
        }
    elif settings.processes > 1:
        arguments["ddp_backend"] = "gloo"
    return arguments
