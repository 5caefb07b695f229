"""Stage work: build the tiny base model from a seed, its tokenizer from the chain's own data."""

from appo_core.config.model import TinyModel
from appo_core.demo.model import build_model, conversation_texts, corpus_texts
from appo_core.jobs.contract import Job, Reporter, run_job


def work(job: Job, reporter: Reporter) -> None:
    """Inputs: `data` (SFT conversations) and `corpus`; output: a Hugging Face model folder."""
    settings = TinyModel.model_validate(job.settings)
    texts = conversation_texts(job.input("data") / "train.jsonl") + corpus_texts(job.input("corpus") / "corpus.jsonl")
    reporter.log(f"training a tokenizer on {len(texts)} texts, then seeding {settings.layers} layers")
    parameters = build_model(settings, texts, job.output)
    reporter.result(parameters=parameters)


if __name__ == "__main__":
    run_job(work)
