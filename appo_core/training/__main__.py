"""Training as a torchrun program: ``torchrun -m appo_core.training job.json``."""

from appo_core.jobs.contract import run_job
from appo_core.training.run import train

if __name__ == "__main__":
    run_job(train)
