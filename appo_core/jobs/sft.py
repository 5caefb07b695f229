"""The SFT stage's work: `python -m appo_core.jobs.sft job.json` in the sft environment.

Inputs: `model` (Hugging Face folder), `data` (folder with train.jsonl, ShareGPT). Output: a Hugging Face folder.
"""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appo_core.config.sft import SftSettings
from appo_core.jobs.contract import EXIT_UNEXPECTED, Job, JobError, Reporter, run_job
from appo_core.sft.arguments import Folders, training_arguments
from appo_core.sft.dataset import write_dataset
from appo_core.sft.export import copy_tokenizer, move_weights, write_generation_config
from appo_core.sft.launch import launch, prepare_environment
from appo_core.sft.resume import fingerprint, prepare_run
from appo_core.sft.rows import read_conversations
from appo_core.sft.template import end_of_turn
from appo_core.sft.train import check_loss

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def _require_model(model: Path) -> None:
    for name in ("config.json", "tokenizer_config.json"):
        if not (model / name).is_file():
            raise JobError(f"input 'model': {model} has no {name}", remedy="give a Hugging Face model folder")


def _load_tokenizer(model: Path) -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model, local_files_only=True)


def _metrics(train: Path, started: float) -> dict[str, Any]:
    file = train / "trainer_state.json"
    if not file.is_file():
        raise JobError("training ended without a trainer state", remedy="see the log above", exit_code=EXIT_UNEXPECTED)
    state = json.loads(file.read_text())
    losses = [(entry["step"], entry["loss"]) for entry in state["log_history"] if "loss" in entry]
    if not losses:
        raise JobError("training logged no loss", remedy="see the log above", exit_code=EXIT_UNEXPECTED)
    for step, loss in losses:
        check_loss(loss, step)
    tail = losses[-max(1, len(losses) // 10) :]
    return {
        "train_loss": sum(loss for _, loss in tail) / len(tail),
        "first_loss": losses[0][1],
        "steps": state["global_step"],
        "tokens": state.get("num_input_tokens_seen", 0),
        "seconds": round(time.monotonic() - started, 2),
    }


def work(job: Job, reporter: Reporter) -> None:
    """Fine-tune the base model on the conversations; `train_loss` is the mean over the last tenth of the log."""
    started = time.monotonic()
    settings = SftSettings.model_validate(job.settings)
    base, data = job.input("model"), job.input("data") / "train.jsonl"
    _require_model(base)
    for _ in read_conversations(data):  # a bad row is told at once, before slow libraries load
        pass
    prepare_environment(job.work, settings.processes)
    tokenizer = _load_tokenizer(base)
    end_token = end_of_turn(tokenizer)
    folders = Folders(base, job.work / "dataset", job.work)
    rows = write_dataset(data, folders.dataset, tokenizer)

    import torch

    cuda = torch.cuda.is_available()
    if settings.cpu_threads and not cuda:
        torch.set_num_threads(settings.cpu_threads)
    arguments = training_arguments(settings, folders, rows, cuda=cuda)
    digest = fingerprint(arguments, [folders.dataset / "train.jsonl", base / "config.json"])
    resumed = prepare_run(job.work, digest)
    reporter.log(f"{rows} conversations; " + (f"resuming from step {resumed}" if resumed else "starting"))
    launch(arguments, end_token, job.work, settings.processes, reporter)
    metrics = _metrics(job.work / "train", started)
    move_weights(job.work / "train", job.output)
    copy_tokenizer(base, job.output, end_token)
    end_id = int(tokenizer.convert_tokens_to_ids(end_token))
    write_generation_config(base, job.output, end_id, tokenizer.pad_token_id)
    reporter.result(rows=rows, **metrics)


if __name__ == "__main__":
    run_job(work)
