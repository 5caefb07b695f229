"""LLaMA-Factory gets the settings, and nothing it does not need."""

from pathlib import Path

import pytest

from appo_core.config.sft import SftSettings
from appo_core.jobs.contract import JobError
from appo_core.sft.arguments import Folders, steps_in_total, training_arguments
from appo_core.sft.train import check_loss

FOLDERS = Folders(Path("model"), Path("data"), Path("run"))


def test_cpu_run() -> None:
    arguments = training_arguments(SftSettings(precision="fp32", packing=True), FOLDERS, 10, cuda=False)
    assert arguments["use_cpu"]
    assert not arguments["bf16"]
    assert arguments["packing"]
    assert arguments["neat_packing"]
    assert arguments["lr_scheduler_type"] == "cosine"
    assert "fsdp" not in arguments


def test_several_gpus_shard_the_model() -> None:
    arguments = training_arguments(SftSettings(processes=4), FOLDERS, 10, cuda=True)
    assert arguments["fsdp"] == "full_shard auto_wrap"
    assert training_arguments(SftSettings(processes=2), FOLDERS, 10, cuda=False)["ddp_backend"] == "gloo"


def test_steps_in_total() -> None:
    settings = SftSettings(batch_size=4, gradient_accumulation=2, processes=2, epochs=1.5)
    assert steps_in_total(33, settings) == 5


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), 0.0])
def test_a_loss_that_teaches_nothing_is_a_fault(loss: float) -> None:
    with pytest.raises(JobError, match=r"training loss is .* at step 7"):
        check_loss(loss, 7)
