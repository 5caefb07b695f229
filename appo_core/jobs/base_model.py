"""Stage work: the base model, built from a seed or taken from a Hugging Face folder."""

from pathlib import Path

from pydantic import TypeAdapter

from appo_core.config import BaseModelSettings, LocalModel, TinyModel
from appo_core.jobs.contract import Job, JobError, Reporter, run_job

MODEL_FILES = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt", "*.md", "LICENSE*", "NOTICE*")
"""What is taken of a model folder. Python code that comes with a model is not."""
_SETTINGS: TypeAdapter[TinyModel | LocalModel] = TypeAdapter(BaseModelSettings)


def work(job: Job, reporter: Reporter) -> None:
    """Output: a Hugging Face model folder. A tiny model needs the inputs `data` (SFT conversations) and `corpus`."""
    settings = _SETTINGS.validate_python(job.settings)
    if isinstance(settings, LocalModel):
        take(Path(settings.path), job.output, reporter)
    else:
        build(settings, job, reporter)


def take(model: Path, output: Path, reporter: Reporter) -> None:
    """Link a model folder's files into the output; raises `JobError` for one without weights in safetensors."""
    files = sorted({path for pattern in MODEL_FILES for path in model.glob(pattern) if path.is_file()})
    if not any(path.suffix == ".safetensors" for path in files):
        raise JobError(f"base_model.path: {model} holds no *.safetensors", remedy="convert the weights to safetensors")
    for path in files:
        # Links: a large model is read once, by the store, and never copied beside itself.
        (output / path.name).symlink_to(path.resolve())
    reporter.result(files=len(files), bytes=sum(path.stat().st_size for path in files))


def build(settings: TinyModel, job: Job, reporter: Reporter) -> None:
    """Train a tokenizer on the chain's own data and seed the weights."""
    from appo_core.demo.model import build_model, conversation_texts, corpus_texts  # torch: not needed to take a folder

    texts = conversation_texts(job.input("data") / "train.jsonl") + corpus_texts(job.input("corpus") / "corpus.jsonl")
    reporter.log(f"training a tokenizer on {len(texts)} texts, then seeding {settings.layers} layers")
    parameters = build_model(settings, texts, job.output)
    reporter.result(parameters=parameters)


if __name__ == "__main__":
    run_job(work)
