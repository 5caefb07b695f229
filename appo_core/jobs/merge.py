"""The merge stage's work: `python -m appo_core.jobs.merge job.json` in the engine environment.

Merges `settings.source`, or the input `checkpoint` (rl-checkpoint layout: dcp/ or adapter/, and hf/); an adapter may
have the input `base`. Output: a Hugging Face folder with a model card.
"""

import os
from typing import Any

from appo_core.config.merge import CheckpointFolder, MergeSettings
from appo_core.jobs.contract import Job, Reporter, run_job
from appo_core.merging.adapter import merge_adapter
from appo_core.merging.card import model_card
from appo_core.merging.convert import build, expected_shapes, load_config, reload, write
from appo_core.merging.shards import read_shards
from appo_core.merging.sources import Source, source_of
from appo_core.merging.verify import check_tokenizer, check_weights, largest_difference, logprobs
from appo_core.merging.verl import read_verl

STEPS = 4


def work(job: Job, reporter: Reporter) -> None:
    """Merge the weights and verify the result by reloading it."""
    settings = MergeSettings.model_validate(job.settings)
    os.environ["HF_HUB_OFFLINE"] = "1"
    reporter.progress(0, STEPS, unit="steps", message="reading weights")
    source = source_of(job, settings, reporter)
    config = load_config(source.hf)
    ids = check_tokenizer(source.hf, source.hf)
    model, before = _load(source, config, ids)
    reporter.progress(1, STEPS, unit="steps", message="writing safetensors")
    write(model, source.hf, job.output, settings.dtype)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    del model
    reporter.progress(2, STEPS, unit="steps", message="verifying")
    check_tokenizer(source.hf, job.output)
    merged = reload(job.output)
    check_weights(merged.state_dict(), *expected_shapes(merged.config))
    difference = largest_difference(before, logprobs(merged, ids), settings.max_logprob_difference)
    reporter.progress(3, STEPS, unit="steps", message="writing the model card")
    size = sum(file.stat().st_size for file in job.output.glob("*.safetensors"))
    metrics = {"max_logprob_difference": difference, "parameters": parameters, "bytes": size}
    origin = job.context | {"layout": source.kind} | _outside(settings)
    (job.output / "README.md").write_text(model_card(origin, metrics | {"dtype": settings.dtype}))
    reporter.progress(STEPS, STEPS, unit="steps")
    reporter.result(**metrics, layout=source.kind)


def _load(source: Source, config: Any, ids: list[int]) -> tuple[Any, Any]:
    """The whole model in float32, and the log-probs of `ids` that its weights gave before they were merged."""
    if source.base:
        model, before = merge_adapter(source.base, source.weights, ids)
        check_weights(model.state_dict(), *expected_shapes(config))
        return model, before
    weights = read_verl(source.weights) if source.kind == "verl" else read_shards(source.weights)
    check_weights(weights, *expected_shapes(config))
    model = build(config, weights)
    return model, logprobs(model, ids)


def _outside(settings: MergeSettings) -> dict[str, str]:
    """Where weights from outside the store come from, for the model card."""
    source = settings.source
    if not isinstance(source, CheckpointFolder):
        return {}
    known = {"source": source.path, "base": source.base, "licence": source.licence}
    return {key: value for key, value in known.items() if value}


if __name__ == "__main__":
    run_job(work)
