"""Methods by name: their defaults stand below what is given, and mistakes are named."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from appo_core.config.algorithm import AlgorithmSettings
from appo_core.methods import method_class, method_names

BASELINES = ("arpo", "dapo", "dr_grpo", "grpo", "reinforce_pp", "rloo")


def test_the_registry_is_the_package_s_files() -> None:
    assert method_names() == tuple(sorted(("appo", *BASELINES)))
    assert all(method_class(name).__doc__ for name in method_names())


def test_a_method_s_defaults_stand_below_what_is_given() -> None:
    plain = AlgorithmSettings(name="dapo")
    assert (plain.loss.clip_high, plain.loss.kl_coefficient, plain.loss.future_kl) == (0.28, 0.0, False)
    given = AlgorithmSettings.model_validate({"name": "dapo", "loss": {"kl_coefficient": 0.1}})
    assert (given.loss.clip_high, given.loss.kl_coefficient, given.loss.sequence_filter) == (0.28, 0.1, False)
    assert AlgorithmSettings(name="dr_grpo").loss.aggregate == "sequence_sum"
    assert AlgorithmSettings().loss.future_kl


@pytest.mark.parametrize("name", method_names())
def test_resolved_settings_are_complete(name: str) -> None:
    """What is recorded in the lineage says everything, and reading it back changes nothing."""
    settings = AlgorithmSettings(name=name)
    assert AlgorithmSettings.model_validate(settings.model_dump()) == settings
    assert settings.options == method_class(name)(settings).options.model_dump()


def test_rollouts_and_branches_per_prompt() -> None:
    counts = {}
    for name in method_names():
        method = method_class(name)(AlgorithmSettings(name=name, rollouts_per_prompt=12, initial_rollouts=5))
        counts[name] = (method.initial_rollouts, method.branches)
    assert counts == {"appo": (5, 7), "arpo": (5, 0)} | dict.fromkeys(BASELINES[1:], (12, 0))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": "ppo"}, ["unknown algorithm 'ppo'", "dr_grpo", "reinforce_pp"]),
        ({"initial_rollouts": 9, "rollouts_per_prompt": 8}, ["initial_rollouts (9)", "rollouts_per_prompt (8)"]),
        ({"name": "arpo", "initial_rollouts": 9, "rollouts_per_prompt": 8}, ["initial_rollouts (9)"]),
        ({"rollouts_per_prompt": 0}, ["rollouts_per_prompt", "greater than 0"]),
        ({"name": "arpo", "options": {"beam": 3}}, ["beam", "Extra inputs"]),
        ({"name": "grpo", "options": {"beam_size": 3}}, ["beam_size", "Extra inputs"]),
        ({"name": 3}, ["name", "string"]),
    ],
)
def test_mistakes_are_named(given: dict[str, object], words: list[str]) -> None:
    with pytest.raises(ValidationError) as error:
        AlgorithmSettings.model_validate(given)
    assert all(word in str(error.value) for word in words)


def test_methods_without_branches_do_not_look_at_initial_rollouts() -> None:
    assert AlgorithmSettings(name="grpo", rollouts_per_prompt=4).rollouts_per_prompt == 4


def test_reading_a_method_s_settings_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from appo_core.config.algorithm import AlgorithmSettings\n"
        "from appo_core.methods import method_names\n"
        "[AlgorithmSettings(name=name) for name in method_names()]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
