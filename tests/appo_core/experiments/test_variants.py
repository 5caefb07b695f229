"""Cells of a comparison: which settings differ, and what is refused."""

from typing import Any

import pytest

from appo_core.config import CompareSettings, PipelineSettings, RlSettings
from appo_core.config.presets import load_preset
from appo_core.experiments.variants import cells, point_rules, variant_settings
from appo_core.jobs.contract import JobError
from appo_core.methods.registry import method_class

SHIPPED = load_preset("compare")


def chain(**compare: Any) -> PipelineSettings:
    return SHIPPED.model_copy(update={"compare": CompareSettings.model_validate(compare)})


def test_every_shipped_variant_is_valid_and_named_like_its_settings() -> None:
    found = {cell.variant: cell.rl for cell in cells(SHIPPED)}
    assert {"appo", "grpo", "arpo", "entropy-only", "no-future-kl", "no-dual-group", "stale", "onpolicy"} <= set(found)
    for name in ("appo", "grpo", "arpo", "dr_grpo", "dapo", "rloo", "reinforce_pp"):
        assert found[name].algorithm.name == name
    assert found["entropy-only"].algorithm.branching.score == "entropy"
    assert not found["no-future-kl"].algorithm.loss.future_kl
    assert not found["no-dual-group"].algorithm.advantage.dual_group
    for name in ("stale", "onpolicy"):
        assert found[name].algorithm.branching.when == name
    for name, rl in found.items():
        if name.startswith("n0-"):
            assert (rl.algorithm.rollouts_per_prompt, rl.algorithm.initial_rollouts) == (16, int(name[3:]))


def test_cells_are_seed_by_seed_with_the_budget() -> None:
    found = cells(chain(include=["grpo", "appo"], variants={"appo": {}, "grpo": {"rl.algorithm.name": "grpo"}},
                        seeds=[3, 1], generated_tokens=500))  # fmt: skip
    assert [cell.key for cell in found] == ["grpo-s3", "appo-s3", "grpo-s1", "appo-s1"]
    assert [cell.rl.seed for cell in found] == [3, 3, 1, 1]
    assert {cell.rl.max_generated_tokens for cell in found} == {500}


def test_two_seeds_of_a_variant_differ_in_the_seed_only() -> None:
    one, two = (cell.rl.model_dump() for cell in cells(chain(variants={"appo": {}}, seeds=[1, 2])))
    assert one | {"seed": 2} == two


@pytest.mark.parametrize("sent", [False, True])
def test_another_method_brings_its_own_defaults_below_what_the_chain_chose(sent: bool) -> None:
    base = SHIPPED.rl
    if sent:  # as a deployment or a form sends it: every field given
        base = RlSettings.model_validate_json(base.model_dump_json())
    found = variant_settings(base, "x", {"rl.algorithm.name": "grpo"}).algorithm
    assert (found.loss.future_kl, found.loss.clip_high) == (False, method_class("grpo").defaults["loss"]["clip_high"])
    assert (found.rollouts_per_prompt, found.loss.kl_coefficient) == (8, 0.0)
    again = variant_settings(base, "x", {}).algorithm
    assert again == SHIPPED.rl.algorithm


def test_options_of_a_method_stay_with_it() -> None:
    base = variant_settings(SHIPPED.rl, "x", {"rl.algorithm.name": "arpo", "rl.algorithm.options.beam_size": 3})
    assert base.algorithm.options["beam_size"] == 3
    assert variant_settings(base, "x", {"rl.steps": 2}).algorithm.options["beam_size"] == 3
    assert variant_settings(base, "x", {"rl.algorithm.name": "grpo"}).algorithm.options == {}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"sft.seed": 3}, "'sft.seed' cannot differ"),
        ({"rl.seed": 3}, "'rl.seed' cannot differ"),
        ({"rl.max_generated_tokens": 3}, "'rl.max_generated_tokens' cannot differ"),
        ({"rl.algorithm.nam": "grpo"}, "rl.algorithm.nam: Extra"),
        ({"rl.algorithm.name": "gpro"}, "unknown algorithm 'gpro'"),
        ({"rl.steps": 0}, "rl.steps: Input should be greater"),
        ({"rl.steps.more": 1}, "'steps.more' goes below a value"),
    ],
)
def test_what_cannot_be_is_refused_with_the_variants_name(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError) as raised:
        cells(chain(variants={"odd": overrides}))
    assert "odd" in raised.value.message or "below a value" in message
    assert message in raised.value.message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"include": ["gppo"]}, "unknown variant 'gppo'; choose from appo, grpo"),
        ({"seeds": [1, 2, 1]}, "1 stands there twice"),
        ({"seeds": []}, "is empty"),
        ({"variants": {}}, "is empty"),
        ({"variants": {"A b": {}}}, "pattern"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CompareSettings.model_validate(settings)


def test_only_runs_that_branch_by_the_product_have_its_rules() -> None:
    rules = point_rules(cells(SHIPPED))
    assert rules["appo"].last == SHIPPED.rl.limits.max_response_tokens - SHIPPED.rl.algorithm.branching.min_room
    assert set(rules) & {"grpo", "arpo", "entropy-only"} == set()
    assert {"stale", "onpolicy", "no-future-kl"} <= set(rules)
