"""Stage work: APPO reinforcement learning, in this process or under torchrun."""

import os
import sys

from appo_core.config.rl import RlSettings
from appo_core.jobs.contract import Job, Reporter, run_job


def work(job: Job, reporter: Reporter) -> None:
    """Inputs: `model`, `data`, optionally `corpus`; output: `checkpoint/` and `rollouts/`."""
    from appo_core.training.run import train

    processes = RlSettings.model_validate(job.settings).processes
    if processes > 1:
        program = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        # The launcher takes this process's place, so that ending the stage ends the ranks.
        os.execv(  # noqa: S606
            sys.executable, [sys.executable, *program, "-m", "appo_core.training", sys.argv[1]]
        )
    train(job, reporter)


if __name__ == "__main__":
    run_job(work)
