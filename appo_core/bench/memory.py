"""``python -m appo_core.bench.memory CASE``: peak memory and time of one forward and backward pass, in a fresh process.

Cases: `chunked` and `whole` (the head's logits in pieces, or all at once); `kept` and `recomputed` (activations). One
process each, because a process's peak never falls. Prints one line of JSON.
"""

import argparse
import gc
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from appo_core.algorithm import token_entropy
from appo_core.bench.lengths import demo_shapes, long_shapes, trajectories
from appo_core.bench.model import LARGE, TINY, make_model
from appo_core.bench.variants import seconds_of
from appo_core.training.packing import pack
from appo_core.training.policy import Policy, load_policy
from appo_core.training.ranks import Ranks

CASES = ("chunked", "whole", "kept", "recomputed")


@dataclass(frozen=True)
class Peak:
    """What one case took."""

    megabytes: float
    """Peak above what was held before."""
    seconds: float
    tokens: int
    """Generated tokens (head) or all tokens (activations)."""


def in_fresh_process(case: str, *, quick: bool) -> Peak:
    """Measure one case in a process of its own."""
    argv = [sys.executable, "-m", "appo_core.bench.memory", case, *(["--quick"] if quick else [])]
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True)
    return Peak(**json.loads(done.stdout.splitlines()[-1]))


def head_case(case: str, quick: bool, device: torch.device) -> Peak:
    """Log-probs, entropies and gradients of a head over a large vocabulary."""
    count, width, vocabulary = (512, 16, 4_000) if quick else (8192, 64, 32_000)
    torch.manual_seed(0)
    policy = Policy(_Head(width, vocabulary).to(device))
    batch = pack(trajectories([(1, count, count)], vocabulary), count + 1)[0].to(device)

    def chunked() -> None:
        logp_N, entropy_N = policy(batch)
        (logp_N.sum() + entropy_N.sum()).backward()

    def whole() -> None:
        logits_NV = policy.hidden(batch)[batch.source_N] @ policy.model.lm_head.weight.T
        logp_N = logits_NV.float().log_softmax(-1).gather(1, batch.target_N[:, None])
        (logp_N.sum() + token_entropy(logits_NV.detach().float()).sum()).backward()

    return measured(chunked if case == "chunked" else whole, count, device)


class _Head(nn.Module):
    """A model that is nothing but an embedding and a head."""

    def __init__(self, width: int, vocabulary: int) -> None:
        super().__init__()
        self.config = type("Config", (), {"_attn_implementation": "none"})()
        self.model = _Body(width, vocabulary)
        self.lm_head = nn.Linear(width, vocabulary, bias=False)


class _Body(nn.Module):
    def __init__(self, width: int, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)

    def forward(self, input_ids: torch.Tensor, **_: object) -> object:
        return type("Output", (), {"last_hidden_state": self.embedding(input_ids)})()


def activations_case(case: str, quick: bool, device: torch.device) -> Peak:
    """A pass of the larger model with its activations kept, or computed again in the backward pass."""
    with tempfile.TemporaryDirectory() as folder:
        make_model(Path(folder), TINY if quick else LARGE)
        policy = load_policy(
            Path(folder), Ranks(0, 1, device), precision="fp32", gradient_checkpointing=case == "recomputed"
        )
    shapes = demo_shapes(4) if quick else long_shapes(8, 768)
    batch = pack(trajectories(shapes, 500), 10**6)[0].to(device)

    def work() -> None:
        logp_N, _ = policy(batch)
        logp_N.sum().backward()

    return measured(work, len(batch.ids_T), device)


def measured(work: Callable[[], object], tokens: int, device: torch.device) -> Peak:
    """Run `work` once for its peak, and once more for its time."""
    before = held(device)
    work()
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _resident("VmHWM")
    return Peak((peak - before) / 2**20, seconds_of(work, device), tokens)


def held(device: torch.device) -> int:
    """Bytes in use now; the peak is counted from here."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak to what is resident now
    return _resident("VmRSS")


def _resident(name: str) -> int:
    """A figure of /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def main() -> None:
    """Measure one case and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    measure = head_case if arguments.case in ("chunked", "whole") else activations_case
    sys.stdout.write(json.dumps(asdict(measure(arguments.case, arguments.quick, device))) + "\n")


if __name__ == "__main__":
    main()
