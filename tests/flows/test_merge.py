"""The merge flow's inputs: a checkpoint that holds an adapter brings its base model with it."""

from pathlib import Path

import pytest

from appo_core.artifacts import ParentRef, Store
from appo_core.config import MergeSettings, PipelineSettings
from appo_core.config.merge import CheckpointFolder
from appo_core.config.presets import PresetError, load_preset
from flows.merge import merge_flow, published
from flows.pipeline import pipeline_flow
from tasks.errors import StageError
from tests.drafts import make_draft


def publish(store: Store, folder: Path, name: str, files: dict[str, bytes], *parents: ParentRef) -> str:
    kind = "rl-checkpoint" if parents else "sft-model"
    return str(store.publish(make_draft(folder, kind=kind, name=name, files=files, parents=parents)).ref)


def test_the_base_of_an_adapter_is_what_it_was_trained_from(tmp_path: Path) -> None:
    store = Store.open(f"file://{tmp_path / 'store'}")
    model = publish(store, tmp_path, "m", {"config.json": b"{}"})
    parent = store.find(model).parent("model")
    full = publish(store, tmp_path, "full", {"dcp/.metadata": b"x"}, parent)
    lora = publish(store, tmp_path, "lora", {"adapter/adapter_config.json": b"{}"}, parent)
    assert published(store, full, None) == {"checkpoint": full}
    assert published(store, lora, None) == {"checkpoint": lora, "base": model}
    assert published(store, "rl-checkpoint/lora@latest", "model/x@v1")["base"] == "model/x@v1"
    with pytest.raises(StageError, match="rl-checkpoint/absent"):
        published(store, "rl-checkpoint/absent@latest", None)


def test_a_path_speaks_for_itself() -> None:
    settings = load_preset("demo", ["merge.source.path=/x/global_step_30", "merge.source.licence=MIT"])
    assert settings.merge.source == CheckpointFolder(path="/x/global_step_30", licence="MIT")
    assert MergeSettings().source.kind == "published"
    with pytest.raises(PresetError, match=r"pth.; did you mean merge\.source\.path"):
        load_preset("demo", ["merge.source.path=/x", "merge.source.pth=/y"])


def test_a_path_and_a_checkpoint_exclude_each_other(tmp_path: Path) -> None:
    url, outside = f"file://{tmp_path}", MergeSettings(source=CheckpointFolder(path="/x"))
    with pytest.raises(StageError, match="name one of them"):
        merge_flow.fn(settings=outside, checkpoint="rl-checkpoint/demo@v1", store=url)
    with pytest.raises(StageError, match="the chain merges the checkpoint that it trains"):
        pipeline_flow.fn(PipelineSettings(merge=outside), url)
