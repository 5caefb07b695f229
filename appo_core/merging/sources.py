"""What a merge reads, brought to this machine: the weights' folder, the base model, configuration and tokenizer."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from appo_core.config.merge import CheckpointFolder, MergeSettings
from appo_core.jobs.contract import Job, JobError, Reporter
from appo_core.merging.adapter import adapter_config
from appo_core.merging.layouts import OTHER_WEIGHTS, Layout, opened, recognise

TOKENIZER = ("*token*", "chat_template*", "*.model", "vocab.json", "merges.txt")


@dataclass(frozen=True)
class Source:
    """The weights to merge, on this machine."""

    kind: str
    weights: Path
    """Folder of the shards, or of the adapter."""
    hf: Path
    """Configuration, tokenizer and whatever else belongs to a model folder."""
    base: Path | None = None
    """Model folder below an adapter."""


def source_of(job: Job, settings: MergeSettings, reporter: Reporter) -> Source:
    """Find out what is to be merged, and fetch it where it lies behind a URL; raises `JobError`."""
    outside = settings.source if isinstance(settings.source, CheckpointFolder) else None
    url = outside.path if outside else str(job.input("checkpoint"))
    layout = recognise(url)
    folder = local(url, layout, job.work / "source", reporter)
    if layout.kind == "dcp":
        return Source("dcp", folder / "dcp", folder / "hf")
    if layout.kind == "verl":
        return Source("verl", folder, gather(job.work / "hf", _files(folder), _files(folder / "huggingface")))
    adapter = folder / "adapter" if (folder / "adapter").is_dir() else folder
    base = _base(job, outside, adapter, reporter)
    own = (path for pattern in TOKENIZER for path in adapter.glob(pattern))
    model = _files(folder / "hf") if adapter != folder else (*_files(base), *own)
    return Source("adapter", adapter, gather(job.work / "hf", model), base)


def _base(job: Job, outside: CheckpointFolder | None, adapter: Path, reporter: Reporter) -> Path:
    """The model below an adapter: an input, or what the settings or the adapter itself name."""
    if "base" in job.inputs:
        return job.input("base")
    named = adapter_config(adapter).get("base_model_name_or_path")
    url = (outside.base if outside else None) or named
    try:
        files, path = opened(str(url))
    except JobError:
        raise JobError(
            f"the adapter {adapter} needs its base model, {named or 'which it does not name'}",
            remedy="give --input base=model/NAME@VERSION, or merge.source.base with a model folder",
        ) from None
    names = tuple(sorted(name.removeprefix(f"{path}/") for name in files.find(path, maxdepth=1)))
    return local(str(url), Layout("adapter", path, names), job.work / "base", reporter)


def local(url: str, layout: Layout, target: Path, reporter: Reporter) -> Path:
    """The folder itself when it is on this machine, else a copy of what is needed of it; fetched files are kept."""
    files, _ = opened(url)
    if "file" in files.protocol or "local" in files.protocol:
        return Path(layout.folder)
    for number, name in enumerate(layout.names, start=1):
        path = target / name
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            reporter.log(f"fetching {name} ({number} of {len(layout.names)})")
            files.get_file(f"{layout.folder}/{name}", f"{path}.partial")
            Path(f"{path}.partial").rename(path)
    return target


def gather(target: Path, *groups: Iterable[Path]) -> Path:
    """A folder of links to files; of two with one name the later wins."""
    target.mkdir(parents=True, exist_ok=True)
    for path in (path for group in groups for path in group):
        (target / path.name).unlink(missing_ok=True)
        (target / path.name).symlink_to(path.resolve())
    return target


def _files(folder: Path) -> tuple[Path, ...]:
    """The files of a model folder that are no weights and no code."""
    if not folder.is_dir():
        return ()
    return tuple(path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.endswith(OTHER_WEIGHTS))
