"""The comparison flow: real RL runs of a tiny random model, one of them failing, then reused."""

import json
from pathlib import Path

import pytest

from appo_core.artifacts import Draft, Store
from appo_core.config import PipelineSettings
from appo_core.config.presets import load_preset
from flows.base_model import base_model_flow
from flows.compare import CompareResult, compare_flow
from flows.data import data_flow
from tasks import sft
from tasks.errors import StageError
from tasks.stage import prepare

pytestmark = pytest.mark.usefixtures("prefect_server")

SMALL = (
    "name=small",
    "data.source={kind: demo, sft_rows: 64, rl_rows: 24, valid_rows: 3, benchmark_rows: 1}",
    "base_model={kind: tiny, hidden_size: 32, layers: 2, heads: 2, key_value_heads: 1, intermediate_size: 64}",
    "rl.prompts_per_step=2",
    "rl.minibatch_prompts=1",
    "rl.limits={max_prompt_tokens: 200, max_response_tokens: 24, max_result_tokens: 8}",
    "rl.algorithm={rollouts_per_prompt: 4, initial_rollouts: 2}",
    "rl.engine={kind: transformers}",
    "rl.cpu_threads=1",
    "rl.validate_every=1",
    "rl.validate_samples=1",
    "compare.generated_tokens=250",
    "compare.seeds=[1]",
    "compare.variants.narrow={rl.limits.max_prompt_tokens: 1}",
)


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPO_HOME", str(tmp_path / "home"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(f"file://{tmp_path / 'store'}")


def settings(*variants: str) -> PipelineSettings:
    return load_preset("compare", [*SMALL, f"compare.include=[{', '.join(variants)}]"])


def publish_start_model(store: Store, chain: PipelineSettings, folder: Path) -> None:
    """The base model in the place of the fine-tuned one: runs can start from it, and nothing has to be trained."""
    data = data_flow(name=chain.name, settings=chain.data, store=store.url)
    texts = {"data": data.ref("sft"), "corpus": data.ref("corpus")}
    base = base_model_flow(name=chain.name, settings=chain.base_model, store=store.url, **texts)
    inputs = {"model": base.ref("model"), "data": data.ref("sft")}
    wanted = prepare(sft.STAGE, store, name=chain.name, settings=chain.sft.model_dump(mode="json"), inputs=inputs)
    model = store.fetch(store.find(base.ref("model")), folder)
    store.publish(Draft("sft-model", chain.name, wanted.key, model))


def figures(store: Store, ref: str) -> dict[str, dict[str, object]]:
    content = json.loads(store.read_file(store.find(ref), "figures.json"))
    return {one["name"]: one for one in content["variants"]}


@pytest.mark.slow
@pytest.mark.engine
def test_runs_are_compared_a_failed_one_is_left_out_and_the_others_are_reused(store: Store, tmp_path: Path) -> None:
    publish_start_model(store, settings("appo"), tmp_path / "cache")
    with pytest.raises(StageError, match=r"1 of 3 runs failed \(narrow-s1\); the others are compared in comparison/"):
        compare_flow(settings("appo", "narrow", "grpo"), store.url)
    first = store.find("comparison/small-rl@latest")
    assert b"failed and are left out: narrow-s1" in store.read_file(first, "report.md")

    result: CompareResult = compare_flow(settings("appo", "grpo"), store.url)
    assert {one.stage: one.status for one in result.stages} == {
        "appo-s1": "reused", "grpo-s1": "reused", "compare": "ran",
    }  # fmt: skip
    assert [row["variant"] for row in result.variants] == ["appo", "grpo"]
    manifest = store.find(result.ref)
    assert {one.path for one in manifest.files} >= {"curves.png", "curves.svg", "figures.json", "report.md", "table.md"}
    assert {parent.role for parent in manifest.parents} >= {"appo-s1.checkpoint", "grpo-s1.rollouts"}

    for name, found in figures(store, result.ref).items():
        rows = store.read_file(store.find(f"rl-checkpoint/small-{name}-s1@latest"), "metrics.jsonl").splitlines()
        tokens = sum(json.loads(row).get("rollout/generated_tokens", 0) for row in rows)
        assert found["tokens"] == tokens >= 250
        assert bool(found["regions"]) == (name == "appo")


def test_a_variant_that_cannot_be_ends_the_flow_before_its_first_run(store: Store) -> None:
    odd = ("compare.variants.odd={rl.algorithm.nam: grpo}", "compare.include=[odd]")
    wrong = load_preset("compare", [*SMALL, *odd])
    with pytest.raises(StageError, match=r"compare\.variants\.odd: rl\.algorithm\.nam") as raised:
        compare_flow(wrong, store.url)
    assert raised.value.bad_input
    assert not store.list()
