"""Presets parse, hold the published figures, and say what is wrong with a bad one."""

from pathlib import Path

import pytest

from appo_core.config.presets import PresetError, load_preset, preset_names, preset_summary


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_parses_and_says_what_it_is_for(name: str) -> None:
    # The comparison starts from what the demo chain published, under its name.
    assert load_preset(name).name == {"compare": "demo"}.get(name, name)
    assert preset_summary(name)


def test_the_five_presets_ship() -> None:
    assert {
        "demo", "qwen2.5-7b-reasoning", "llama3.1-8b-reasoning", "qwen3-8b-deepsearch", "qwen3-14b-deepsearch",
    } <= set(preset_names())  # fmt: skip


@pytest.mark.parametrize(
    ("name", "prompts", "minibatch", "response", "rollouts", "initial", "calls", "memory"),
    [
        ("qwen2.5-7b-reasoning", 96, 16, 6144, 16, 8, 3, 0.5),
        ("llama3.1-8b-reasoning", 96, 16, 6144, 16, 8, 3, 0.5),
        ("qwen3-8b-deepsearch", 128, 16, 10000, 16, 8, 6, 0.6),
        ("qwen3-14b-deepsearch", 64, 8, 6192, 12, 6, 6, 0.6),
    ],
)
def test_published_figures(
    name: str, prompts: int, minibatch: int, response: int, rollouts: int, initial: int, calls: int, memory: float
) -> None:
    rl = load_preset(name).rl
    assert (rl.prompts_per_step, rl.minibatch_prompts) == (prompts, minibatch)
    assert (rl.limits.max_response_tokens, rl.limits.call_limit) == (response, calls)
    assert (rl.algorithm.rollouts_per_prompt, rl.algorithm.initial_rollouts) == (rollouts, initial)
    assert rl.engine.gpu_memory_utilization == memory
    assert rl.optimizer.learning_rate == 1e-6


def test_overrides_are_typed_by_yaml_and_applied_in_order() -> None:
    settings = load_preset(
        "demo", ["rl.steps=3", "rl.steps=4", "evaluate.benchmarks=[aime24, gaia]", "rl.optimizer.learning_rate=2e-5"]
    )
    assert settings.rl.steps == 4
    assert settings.evaluate.benchmarks == ("aime24", "gaia")
    assert settings.rl.optimizer.learning_rate == 2e-5


def test_another_kind_drops_the_keys_of_the_old_kind() -> None:
    settings = load_preset("demo", ["base_model.hidden_size=64", "base_model.kind=path", "base_model.path=/models/x"])
    assert settings.base_model.model_dump() == {"kind": "path", "path": "/models/x", "licence": ""}


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["rl.stepz=3"], ["unknown key 'rl.stepz'", "did you mean rl.steps"]),
        (["base_model.hiden_size=3"], ["unknown key 'base_model.hiden_size'", "base_model.hidden_size"]),
        (["rl.steps=many"], ["'rl.steps'", "integer", "'many'"]),
        (["rl.steps=0"], ["'rl.steps'", "greater than 0"]),
        (["base_model.kind=path"], ["'base_model.path' is missing"]),
        (["rl.minibatch_prompts=7"], ["must divide"]),
        (["evaluate.benchmarks=[aime99]"], ["aime99", "aime24"]),
        (["rl.steps"], ["KEY=VALUE"]),
        (["rl.steps=[1"], ["not valid YAML"]),
        (["base_model.kind=huge"], ["base_model", "tiny"]),
    ],
)
def test_a_bad_override_is_one_line_with_the_key(overrides: list[str], parts: list[str]) -> None:
    with pytest.raises(PresetError) as caught:
        load_preset("demo", overrides)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_unknown_preset_names_close_ones() -> None:
    with pytest.raises(PresetError, match=r"unknown preset 'qwen3-8b-deepsaerch'; did you mean qwen3-8b-deepsearch"):
        load_preset("qwen3-8b-deepsaerch")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("- a", "expected keys"),
        ("rl: {steps: 1, steps: 2}", "'steps' stands twice"),
        ("rl: [", "not valid YAML"),
        ("extends: nothing", "unknown preset"),
        ("rlx: {}", "unknown key 'rlx'"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(PresetError, match=part) as caught:
        load_preset(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(PresetError, match=r"absent\.yaml does not exist"):
        load_preset("absent.yaml")
