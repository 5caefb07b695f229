"""States of the random generators of a rank, as JSON.

Sampling and data order have seeds of their own; what these generators serve is dropout and whatever a library draws.
"""

import base64
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from appo_core.training.ranks import Ranks


def seed_all(seed: int, ranks: Ranks) -> None:
    """Seed the generators of this rank, another one on every rank."""
    own = (seed * 1_000_003 + ranks.rank) % 2**32
    random.seed(own)
    np.random.seed(own)
    torch.manual_seed(own)


def snapshot(ranks: Ranks) -> dict[str, Any]:
    """The states now: Python's, numpy's, torch's of the CPU and of this rank's GPU."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    state = {
        "python": random.getstate(),
        "numpy": [kind, [int(key) for key in keys], position, has_gauss, gauss],
        "torch": _text(torch.get_rng_state()),
    }
    if ranks.device.type == "cuda":
        state["cuda"] = _text(torch.cuda.get_rng_state(ranks.device))
    return state


def restore(states: Sequence[dict[str, Any]], ranks: Ranks) -> None:
    """Put back what `snapshot` gave on each rank; a rank that the saved run did not have keeps its seed."""
    if ranks.rank >= len(states):
        return
    state = states[ranks.rank]
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys), gauss))
    kind, words, *rest = state["numpy"]
    np.random.set_state((kind, np.array(words, dtype=np.uint32), *rest))
    torch.set_rng_state(_bytes(state["torch"]))
    if ranks.device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(_bytes(state["cuda"]), ranks.device)


def _text(state: Tensor) -> str:
    return base64.b64encode(state.cpu().numpy().tobytes()).decode()


def _bytes(text: str) -> Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
