"""Which GPU a training rank's vLLM sees."""

import pytest

from appo_core.rollout.engines.vllm_engine import own_device


@pytest.mark.parametrize(
    ("environment", "device"),
    [
        ({}, None),
        ({"LOCAL_RANK": "0"}, "0"),
        ({"LOCAL_RANK": "3"}, "3"),
        ({"LOCAL_RANK": "1", "CUDA_VISIBLE_DEVICES": "4,6"}, "6"),
        ({"LOCAL_RANK": "1", "CUDA_VISIBLE_DEVICES": ""}, "1"),
    ],
)
def test_every_rank_gets_its_own_visible_gpu(environment: dict[str, str], device: str | None) -> None:
    assert own_device(environment).get("CUDA_VISIBLE_DEVICES") == device
