"""`make gpu-check`: says what it cannot do without a GPU, runs on a bare Python, and holds on a GPU."""

import json
import subprocess
from pathlib import Path

import pytest
import torch

from appo_core.bench import gpu
from appo_core.bench.rl import short_run
from appo_core.bench.train import throughput
from appo_core.environments import ROOT
from appo_core.training.ranks import Ranks
from tests.gpu.bare import bare_python, make_bare


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_and_ends_well(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    assert gpu.main(["--page", str(page)]) == 0
    assert "no CUDA device here; nothing was checked" in capsys.readouterr().out
    assert not page.exists()


@pytest.mark.slow
def test_the_checks_run_on_a_bare_python(tmp_path: Path) -> None:
    """With PyTorch, transformers and pydantic alone, as on a borrowed machine; here on its CPU."""
    environment = make_bare(tmp_path) | {"OMP_NUM_THREADS": "1"}
    argv = [bare_python(), "-s", "-m", "appo_core.bench.gpu", "--device", "cpu", "--quick", "--json"]
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    found = {one["title"]: one["figures"] for one in map(json.loads, done.stdout.splitlines())}
    assert [title.removeprefix("gpu: ").split(",")[0] for title in found] == [
        "algorithm",
        "packing (forward",
        "scoring pass",
        "bf16 FSDP2 step",
        "short RL run",
    ]
    assert all(figure["value"] > 0 for figures in found.values() for figure in figures)


@pytest.fixture
def ranks() -> Ranks:
    torch.cuda.set_device(0)
    return Ranks(0, 1, torch.device("cuda", 0))


@pytest.mark.gpu
def test_algorithm_on_a_gpu_equals_the_cpu(ranks: Ranks) -> None:
    assert len(gpu.kernels(gpu.FULL, ranks.device)) == 2


@pytest.mark.gpu
def test_a_sharded_step_in_bfloat16(ranks: Ranks) -> None:
    assert {figure.name for figure in gpu.sharded_step(gpu.QUICK, ranks)} >= {"bf16 FSDP2 step", "peak memory"}


@pytest.mark.gpu
def test_packing_against_padding(ranks: Ranks) -> None:
    assert all(figure.value > 0 for figures in throughput(gpu.QUICK.train, ranks).values() for figure in figures)


@pytest.mark.gpu
async def test_a_short_rl_run(ranks: Ranks) -> None:
    figures = {figure.name: figure.value for figure in await short_run(gpu.TINY, ranks)}
    assert figures["updates"] == 4
    assert figures["branches"] > 0
