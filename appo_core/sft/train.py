"""One training process: LLaMA-Factory in this process, its progress as job events.

Run in process, or by torchrun as ``python -m appo_core.sft.train arguments.json END_TOKEN FAULT_FILE`` once per rank.
"""

import importlib.machinery
import importlib.util
import json
import math
import sys
import types
from pathlib import Path
from typing import Any

from appo_core.jobs.contract import EXIT_UNEXPECTED, JobError, Reporter
from appo_core.sft.template import register


def provide_torchaudio() -> None:
    """LLaMA-Factory imports torchaudio and uses it for sound only; an empty module does where it is not installed."""
    if importlib.util.find_spec("torchaudio") is None:
        module = types.ModuleType("torchaudio")
        module.__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
        sys.modules["torchaudio"] = module


def check_loss(loss: float, step: int) -> None:
    """Raise `JobError` unless the loss is finite and above zero."""
    if not math.isfinite(loss) or loss <= 0:
        raise JobError(
            f"training loss is {loss} at step {step}",
            remedy="lower sft.learning_rate, use precision fp32, or check that rows have text to learn from",
        )


def _progress_callback(reporter: Reporter) -> Any:
    """A trainer callback that reports every log entry and stops at a loss that is no number or zero."""
    from transformers import TrainerCallback

    class ProgressCallback(TrainerCallback):
        def on_log(self, _args: Any, state: Any, _control: Any, **kwargs: Any) -> None:
            logs = kwargs.get("logs") or {}
            if "loss" not in logs:
                return
            loss = float(logs["loss"])
            check_loss(loss, state.global_step)
            if state.is_world_process_zero:
                reporter.progress(
                    state.global_step, state.max_steps, unit="steps", loss=loss, learning_rate=logs["learning_rate"]
                )

    return ProgressCallback()


def train(arguments: dict[str, Any], end_token: str, reporter: Reporter) -> None:
    """Run LLaMA-Factory's SFT with `arguments`, resuming from the last checkpoint in its output folder."""
    provide_torchaudio()
    import torch.distributed
    from llamafactory.hparams import get_train_args
    from llamafactory.train.callbacks import LogCallback
    from llamafactory.train.sft import run_sft

    register(end_token)
    model_args, data_args, training_args, finetuning_args, generating_args = get_train_args(dict(arguments))
    callbacks = [_progress_callback(reporter), LogCallback()]
    try:
        run_sft(model_args, data_args, training_args, finetuning_args, generating_args, callbacks)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def main() -> None:
    """One rank under torchrun; a `JobError` is left in the fault file for the job to raise again."""
    arguments, end_token, fault = json.loads(Path(sys.argv[1]).read_text()), sys.argv[2], Path(sys.argv[3])
    try:
        train(arguments, end_token, Reporter())
    except JobError as error:
        fault.write_text(json.dumps({"message": error.message, "remedy": error.remedy}))
        sys.exit(EXIT_UNEXPECTED)


if __name__ == "__main__":
    main()
