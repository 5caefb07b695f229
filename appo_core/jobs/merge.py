"""The merge stage's work: `python -m appo_core.jobs.merge job.json` in the engine environment.

Input: `checkpoint` (rl-checkpoint layout: dcp/ and hf/). Output: a Hugging Face folder with a model card.
"""

import os

from appo_core.config.merge import MergeSettings
from appo_core.jobs.contract import Job, Reporter, run_job
from appo_core.merging.card import model_card
from appo_core.merging.convert import build, expected_shapes, load_config, reload, write
from appo_core.merging.shards import find_dcp, read_shards
from appo_core.merging.verify import check_tokenizer, check_weights, largest_difference, logprobs

STEPS = 4


def work(job: Job, reporter: Reporter) -> None:
    """Merge the shards and verify the result by reloading it."""
    settings = MergeSettings.model_validate(job.settings)
    checkpoint = job.input("checkpoint")
    hf, dcp = checkpoint / "hf", find_dcp(checkpoint)
    os.environ["HF_HUB_OFFLINE"] = "1"
    config = load_config(hf)
    reporter.progress(0, STEPS, unit="steps", message="reading shards")
    weights = read_shards(dcp)
    check_weights(weights, *expected_shapes(config))
    reporter.progress(1, STEPS, unit="steps", message="writing safetensors")
    model = build(config, weights)
    del weights
    ids = check_tokenizer(hf, hf)
    sharded = logprobs(model, ids)
    write(model, hf, job.output, settings.dtype)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    del model
    reporter.progress(2, STEPS, unit="steps", message="verifying")
    check_tokenizer(hf, job.output)
    merged = reload(job.output)
    check_weights(merged.state_dict(), *expected_shapes(merged.config))
    difference = largest_difference(sharded, logprobs(merged, ids), settings.max_logprob_difference)
    reporter.progress(3, STEPS, unit="steps", message="writing the model card")
    size = sum(file.stat().st_size for file in job.output.glob("*.safetensors"))
    metrics = {"max_logprob_difference": difference, "parameters": parameters, "bytes": size}
    (job.output / "README.md").write_text(model_card(job.context, metrics | {"dtype": settings.dtype}))
    reporter.progress(STEPS, STEPS, unit="steps")
    reporter.result(**metrics)


if __name__ == "__main__":
    run_job(work)
