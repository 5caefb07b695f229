"""A real job for runner tests: does what its settings say, run as `python -m tests.tasks.job_probe job.json`."""

import os
import signal
import subprocess
import sys
import time

from appo_core.jobs.contract import EXIT_TRANSIENT, Job, JobError, Reporter, run_job


def probe(job: Job, reporter: Reporter) -> None:
    """Report two steps, then end as `settings.end` says."""
    sys.stdout.write("an ordinary line\n")
    resumed = (job.work / "progress").exists()
    (job.work / "progress").write_text("half way")
    reporter.progress(1, 2, unit="step", loss=0.5)
    reporter.log("half way")
    _end(job.settings.get("end", "well"), job)
    reporter.progress(2, 2, unit="step", loss=0.25)
    (job.output / "value.txt").write_text(str(job.settings.get("value", 0)))
    reporter.result(value=job.settings.get("value", 0), resumed=resumed)


def _end(how: str, job: Job) -> None:
    if how == "bad-input":
        raise JobError("row 3: no answer", remedy="correct the row")
    if how == "transient" or (how == "transient-once" and not (job.work / "tried").exists()):
        (job.work / "tried").touch()
        raise JobError("the endpoint is away", remedy="try again", exit_code=EXIT_TRANSIENT)
    if how == "unexpected":
        raise RuntimeError("surprise")
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "silent":
        sys.stdout.write("the last word\n")
        sys.exit(7)
    if how == "hang":
        child = subprocess.Popen(["sleep", "600"])
        (job.work / "pids").write_text(f"{os.getpid()} {child.pid}")
        time.sleep(600)


if __name__ == "__main__":
    run_job(probe)
