"""Starts the training: in this process, or one process per GPU through torchrun."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from appo_core.jobs.contract import EXIT_UNEXPECTED, JobError, Reporter


def prepare_environment(run: Path, processes: int) -> None:
    """Keep LLaMA-Factory and the libraries below it offline and inside the job's folder; call before they load."""
    os.environ.update(
        HF_HUB_OFFLINE="1",
        HF_DATASETS_CACHE=str(run / "cache"),
        HF_DATASETS_DISABLE_PROGRESS_BARS="1",
        TOKENIZERS_PARALLELISM="true" if processes == 1 else "false",
        LLAMAFACTORY_VERBOSITY="WARN",
    )
    if processes == 1:  # one process drives one GPU; with several visible LLaMA-Factory refuses
        os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]


def launch(arguments: dict[str, Any], end_token: str, run: Path, processes: int, reporter: Reporter) -> None:
    """Train with `arguments`; raises `JobError` when it fails."""
    file, fault = run / "arguments.json", run / "fault.json"
    file.write_text(json.dumps(arguments, indent=2))
    fault.unlink(missing_ok=True)
    if processes == 1:
        from appo_core.sft.train import train

        train(arguments, end_token, reporter)
        return
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    code = subprocess.run([*torchrun, "-m", "appo_core.sft.train", file, end_token, fault], check=False).returncode
    if fault.exists():
        raise JobError(**json.loads(fault.read_text()))
    if code:
        raise JobError(f"torchrun ended with exit code {code}", remedy="see the log above", exit_code=EXIT_UNEXPECTED)
