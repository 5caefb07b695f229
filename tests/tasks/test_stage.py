"""Stage keys: what re-runs a stage, and what does not."""

from pathlib import Path
from typing import Any

import pytest

from appo_core.artifacts import ArtifactNotFound, Draft, Store
from appo_core.config import PipelineSettings
from appo_core.config.presets import load_preset
from tasks import base_model, data, evaluate, merge, rl, sft
from tasks.serve import deciding_settings
from tasks.stage import Output, Stage, StageRequest, prepare, published

CHAIN = ("data", "base_model", "sft", "evaluate SFT", "rl", "merge", "evaluate RL")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(f"file://{tmp_path / 'store'}")


def publish(store: Store, folder: Path, stage: Stage, request: StageRequest) -> dict[str, str]:
    """Publish small files, made of the stage key, as the stage's outputs."""
    refs = {}
    for output in stage.outputs:
        place = folder / f"{stage.name}-{output.role}-{request.key[:12]}"
        place.mkdir(exist_ok=True)
        (place / "content").write_text(request.key)
        draft = Draft(output.kind, f"{request.name}{output.suffix}", request.key, place)
        refs[output.role] = str(store.publish(draft).ref)
    return refs


def chain_keys(store: Store, folder: Path, settings: PipelineSettings) -> dict[str, str]:
    """Stage keys of the whole chain, each stage given what the one before published."""
    keys: dict[str, str] = {}

    def run(title: str, stage: Stage, inputs: dict[str, str], values: Any, **more: Any) -> dict[str, str]:
        request = prepare(
            stage, store, name=settings.name, settings=values.model_dump(mode="json"), inputs=inputs, **more
        )
        keys[title] = request.key
        return publish(store, folder, stage, request)

    rows = run("data", data.STAGE, {}, settings.data)
    base = run("base_model", base_model.STAGE, {"data": rows["sft"], "corpus": rows["corpus"]}, settings.base_model)
    tuned = run("sft", sft.STAGE, {"model": base["model"], "data": rows["sft"]}, settings.sft)
    questions = {"benchmarks": rows["benchmarks"], "corpus": rows["corpus"]}
    also = {"also": {"serve": deciding_settings(settings.serve)}}
    run("evaluate SFT", evaluate.STAGE, {"model": tuned["model"], **questions}, settings.evaluate, **also)
    trained = run("rl", rl.STAGE, {"model": tuned["model"], "data": rows["rl"]}, settings.rl)
    merged = run("merge", merge.STAGE, {"checkpoint": trained["checkpoint"]}, settings.merge)
    run("evaluate RL", evaluate.STAGE, {"model": merged["model"], **questions}, settings.evaluate, **also)
    return keys


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("rl.seed=99", {"rl", "merge", "evaluate RL"}),
        ("rl.algorithm.branching.gamma=0.5", {"rl", "merge", "evaluate RL"}),
        ("merge.dtype=bf16", {"merge", "evaluate RL"}),
        ("evaluate.samples=3", {"evaluate SFT", "evaluate RL"}),
        ("serve.seed=5", {"evaluate SFT", "evaluate RL"}),
        ("serve.port=8123", set()),
        ("sft.seed=3", {"sft", "evaluate SFT", "rl", "merge", "evaluate RL"}),
        ("data.source.seed=8", set(CHAIN)),
    ],
)
def test_a_setting_re_runs_its_stage_and_what_comes_after(
    store: Store, tmp_path: Path, override: str, changed: set[str]
) -> None:
    before = chain_keys(store, tmp_path, load_preset("demo"))
    after = chain_keys(store, tmp_path, load_preset("demo", [override]))
    assert {title for title in CHAIN if before[title] != after[title]} == changed


STAGE = Stage(
    name="probe",
    version="1",
    environment="orchestrator",
    code=("tasks.errors",),
    outputs=(Output("extra", "dataset", "-extra", optional=True), Output("main", "dataset")),
)


def request(store: Store, stage: Stage = STAGE, **more: Any) -> StageRequest:
    return prepare(stage, store, name="demo", settings={"a": 1}, **more)


def test_version_code_name_of_the_stage_and_outside_files_are_in_the_key(store: Store) -> None:
    from dataclasses import replace

    keys = {
        request(store).key,
        request(store, replace(STAGE, version="2")).key,
        request(store, replace(STAGE, name="other")).key,
        request(store, replace(STAGE, code=("tasks.stage",))).key,
        request(store, also={"rows.jsonl": "0" * 64}).key,
    }
    assert len(keys) == 5
    assert request(store).key == request(store, context={"base_url": "http://elsewhere"}).key


def test_a_stage_is_published_once_its_required_outputs_are(store: Store, tmp_path: Path) -> None:
    wanted = request(store)
    assert published(STAGE, wanted, store) is None
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "content").write_text("x")
    store.publish(Draft("dataset", "demo-extra", wanted.key, folder))
    assert published(STAGE, wanted, store) is None
    store.publish(Draft("dataset", "demo", wanted.key, folder))
    assert set(published(STAGE, wanted, store) or {}) == {"extra", "main"}


def test_an_input_that_is_not_there_is_named(store: Store) -> None:
    with pytest.raises(ArtifactNotFound, match="model/demo@latest is not in"):
        request(store, inputs={"model": "model/demo@latest"})
