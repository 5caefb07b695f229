"""A short fixed run whose figures are kept: ``python -m tests.appo_core.training.golden`` writes them anew.

Run it (in the engine environment) after a change that is meant to alter the arithmetic of training, and say in the
commit why the figures moved.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from appo_core.jobs.contract import Job, Reporter
from appo_core.training.run import train
from tests.learnt import make_data, make_model

FILE = Path(__file__).with_name("golden_losses.json")
KEPT = (
    "train/score", "branch/score", "validation/score", "rollout/generated_tokens", "tools/calls", "branching/points",
    "branching/signal_share", "update/policy_loss", "update/kl", "update/entropy", "update/ratio", "update/grad_norm",
)  # fmt: skip
SETTINGS: dict[str, Any] = {
    "steps": 4,
    "prompts_per_step": 4,
    "minibatch_prompts": 2,
    "micro_batch_tokens": 400,
    "algorithm": {
        "rollouts_per_prompt": 4,
        "initial_rollouts": 2,
        "loss": {"kl_coefficient": 0.1, "entropy_coefficient": 0.01},
    },
    "optimizer": {"learning_rate": 1e-3, "warmup_steps": 3},
    "prompt": {"system": "demo"},
    "limits": {"max_prompt_tokens": 120, "max_response_tokens": 32, "max_result_tokens": 16},
    "tools": {"search": {"enabled": False}},
    "engine": {"kind": "transformers", "max_in_flight": 1},
    "validate_every": 2,
    "save_every": 4,
    "precision": "fp32",
    "cpu_threads": 1,
    "seed": 7,
}


def figures(folder: Path) -> list[dict[str, float]]:
    """The kept metrics of every step."""
    inputs = {"model": make_model(folder / "model"), "data": make_data(folder / "data")}
    job = Job(settings=SETTINGS, inputs=inputs, output=folder / "out", work=folder / "work")
    job.output.mkdir()
    job.work.mkdir()
    train(job, Reporter())
    rows = [json.loads(line) for line in (job.work / "metrics.jsonl").read_text().splitlines()]
    return [{name: row[name] for name in KEPT if name in row} for row in rows]


def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as folder:
        rows = figures(Path(folder))
    FILE.write_text(json.dumps(rows, indent=1) + "\n")
    sys.stdout.write(f"{FILE}: {len(rows)} steps\n")


if __name__ == "__main__":
    main()
