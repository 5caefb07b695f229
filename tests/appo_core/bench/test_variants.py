"""What packing is measured against computes the same."""

from pathlib import Path

import pytest
import torch

from appo_core.bench.lengths import demo_shapes, long_shapes, tokens, trajectories
from appo_core.bench.model import TINY, make_model
from appo_core.bench.variants import MaskedPolicy, PaddedPolicy
from appo_core.training.packing import pack
from appo_core.training.policy import Policy, load_policy
from appo_core.training.ranks import Ranks


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    folder: Path = tmp_path_factory.mktemp("model")
    make_model(folder, TINY)
    return load_policy(folder, Ranks(0, 1, torch.device("cpu")), precision="fp32", gradient_checkpointing=False)


@pytest.mark.parametrize("variant", [PaddedPolicy, lambda policy: PaddedPolicy(policy, 300), MaskedPolicy])
def test_variants_give_the_policys_log_probs(policy: Policy, variant: "type[PaddedPolicy]") -> None:
    other = variant(policy)
    with torch.no_grad():
        for batch in pack(trajectories([*demo_shapes(3), *long_shapes(3, 60)], 400), 250):
            for one, expected in zip(other(batch), policy(batch), strict=True):
                torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-4)


def test_rows_have_the_shapes_asked_for() -> None:
    shapes = demo_shapes(50)
    rows = trajectories(shapes, 400)
    assert [(len(row.prompt_ids), len(row), sum(row.mask)) for row in rows] == shapes
    assert tokens(rows) == sum(prompt + response for prompt, response, _ in shapes)
    assert 80 < tokens(trajectories(demo_shapes(2000), 400)) / 2000 < 110
    lengths = sorted(response for _, response, _ in long_shapes(2000, 600))
    assert lengths[1000] == pytest.approx(100, rel=0.15)
    assert lengths[-1] == 600
