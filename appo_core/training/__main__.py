"""Training as a torchrun program: ``torchrun -m appo_core.training job.json``."""

import os
import sys

from appo_core.jobs.contract import run_job
from appo_core.training.run import train

if __name__ == "__main__":
    run_job(train)
    # gloo's threads now and then abort an interpreter that shuts down in the ordinary way, after all work is done.
    sys.stdout.flush()
    os._exit(0)
