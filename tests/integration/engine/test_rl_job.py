"""The reinforcement-learning stage as a command: results, alignment, resume after a kill, two ranks, real rows."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from peft import PeftModel
from transformers import AutoModelForCausalLM

from appo_core.config.data import DataSettings, DemoSource, FileSource
from appo_core.config.model import TinyModel
from appo_core.data.readers import read_jsonl
from appo_core.demo.model import build_model
from appo_core.environments import ROOT
from appo_core.jobs import data as data_job
from appo_core.jobs.contract import Event, Job, Reporter
from appo_core.rollout.codec import Codec
from tests.tiny_model import SETTINGS

pytestmark = pytest.mark.slow
TIMEOUT_S = 400


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, corpus and a tiny random model, made by the stages themselves."""
    folder = tmp_path_factory.mktemp("demo")
    source = DemoSource(sft_rows=60, rl_rows=24, valid_rows=3, benchmark_rows=2)
    make_data(folder, DataSettings(source=source))
    texts = [turn["value"] for row in read_jsonl(str(folder / "sft" / "train.jsonl")) for turn in row["conversations"]]
    build_model(SETTINGS.model_copy(update={"vocabulary": 500}), texts, folder / "model")
    return folder


def make_data(folder: Path, settings: DataSettings) -> None:
    job = Job(settings=settings.model_dump(), output=folder, work=folder / "work")
    data_job.work(job, Reporter())


def settings(**changes: Any) -> dict[str, Any]:
    """Quick settings: two prompts a step, two mini-batches, so that the second is scored by a policy that has moved."""
    return {
        "steps": 2,
        "prompts_per_step": 2,
        "minibatch_prompts": 1,
        "micro_batch_tokens": 300,
        "algorithm": {"rollouts_per_prompt": 4, "initial_rollouts": 2},
        "optimizer": {"learning_rate": 1e-3},
        "prompt": {"system": "demo"},
        "limits": {"max_prompt_tokens": 200, "max_response_tokens": 24, "max_result_tokens": 8},
        "tools": {"search": {"max_results": 1}},
        "engine": {"kind": "transformers"},
        "validate_every": 2,
        "save_every": 1,
        "precision": "fp32",
    } | changes


def command(folder: Path, source: Path, chosen: dict[str, Any]) -> list[str]:
    job = {
        "settings": chosen,
        "inputs": {"model": str(source / "model"), "data": str(source / "rl"), "corpus": str(source / "corpus")},
        "output": str(folder / "out"),
        "work": str(folder / "work"),
    }
    (folder / "job.json").write_text(json.dumps(job))
    return [sys.executable, "-m", "appo_core.jobs.rl", str(folder / "job.json")]


def run(folder: Path, source: Path, chosen: dict[str, Any]) -> Event:
    """Run the stage to its end; its last event, of a result."""
    done = subprocess.run(
        command(folder, source, chosen), capture_output=True, text=True, check=False, cwd=ROOT, timeout=TIMEOUT_S
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    events = [event for event in map(Event.parse, done.stdout.splitlines()) if event is not None]
    assert events[-1].event == "result"
    return events[-1]


def jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def check_layout(out: Path, source: Path, steps: int) -> None:
    """The published layout; the shards hold every weight of the model under its Hugging Face name."""
    checkpoint = out / "checkpoint"
    assert json.loads((checkpoint / "state.json").read_text())["step"] == steps
    for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        assert (checkpoint / "hf" / name).read_bytes() == (source / "model" / name).read_bytes()
    assert list((checkpoint / "tensorboard").iterdir())
    assert [row["step"] for row in jsonl(checkpoint / "metrics.jsonl")] == list(range(1, steps + 1))
    wanted = dict(AutoModelForCausalLM.from_pretrained(source / "model").state_dict())
    wanted.pop("lm_head.weight")
    loaded = {"model": {name: torch.zeros_like(tensor) for name, tensor in wanted.items()}}
    dcp.load(loaded, checkpoint_id=checkpoint / "dcp", no_dist=True)
    assert all(tensor.isfinite().all() for tensor in loaded["model"].values())
    assert any(not torch.equal(loaded["model"][name], wanted[name]) for name in wanted)
    assert sorted(path.name for path in (out / "rollouts").iterdir()) == [
        *(f"step_{step:06d}.jsonl" for step in range(1, steps + 1)),
        "tokenizer.json",
        "view.html",
        "view.md",
    ]


def check_rows(rows: list[dict[str, Any]], codec: Codec, limit: int) -> None:
    """Ids, mask, log-probs and advantages of a step's rollouts stay aligned; branches start from their origin's ids."""
    by_uid = {row["uid"]: row for row in rows}
    assert len(by_uid) == len(rows)
    for row in rows:
        length = len(row["response_ids"])
        assert length == len(row["mask"]) == len(row["behaviour_logprobs"]) <= limit
        for mask, logp in zip(row["mask"], row["behaviour_logprobs"], strict=True):
            assert logp < 0 if mask else logp == 0.0
        for call in row["tool_calls"]:
            if call["end"] < length:
                assert row["mask"][call["end"] - 1] == 1
                assert row["mask"][call["end"]] == 0
        if row["finish"] == "eos":
            assert row["response_ids"][-1] == codec.eos_id
        if row["kind"] == "init":
            assert len(row["advantages"]) == length
            assert not any(a for a, m in zip(row["advantages"], row["mask"], strict=True) if not m)
        else:
            check_branch(row, by_uid, codec)


def check_branch(row: dict[str, Any], by_uid: dict[str, dict[str, Any]], codec: Codec) -> None:
    origin, cut = by_uid[row["prefix"]["origin"]], row["prefix"]["split"] + 1
    for name in ("response_ids", "mask", "behaviour_logprobs"):
        assert row[name][:cut] == origin[name][:cut]
    assert row["group"] == origin["group"]
    assert row["prompt_ids"] == origin["prompt_ids"]
    assert origin["mask"][cut - 1] == 1, "a branch never leaves from an injected token"
    assert row["response_ids"][cut - 1] != codec.eos_id
    assert row["advantages"] is None
    if origin["branching_scores"] is not None:
        assert origin["branching_scores"][cut - 1] == pytest.approx(row["prefix"]["score"], abs=1e-4)


def test_job_writes_its_results_and_rows_stay_aligned(demo: Path, tmp_path: Path) -> None:
    result = run(tmp_path, demo, settings())
    check_layout(tmp_path / "out", demo, 2)
    codec, branches = Codec.load(demo / "model"), 0
    for step in (1, 2):
        rows = jsonl(tmp_path / "out" / "rollouts" / f"step_{step:06d}.jsonl")
        check_rows(rows, codec, 24)
        inits = [row for row in rows if row["kind"] == "init"]
        assert len(inits) == 4
        assert len({row["group"] for row in inits}) == 2
        branches += len(rows) - len(inits)
    assert branches > 0
    first, second = jsonl(tmp_path / "out" / "checkpoint" / "metrics.jsonl")
    assert "validation/correct" in second
    assert "validation/correct" not in first
    assert second["update/grad_norm"] >= 0
    assert result.metrics["steps"] == 2
    assert result.metrics["generated_tokens"] >= 2 * 4


@pytest.mark.parametrize("when", ["stale", "onpolicy"])
def test_other_times_of_branching_run(demo: Path, tmp_path: Path, when: str) -> None:
    algorithm = settings()["algorithm"] | {"branching": {"when": when, "noise_floor": 1e-3}}
    run(tmp_path, demo, settings(algorithm=algorithm, validate_every=0))
    check_layout(tmp_path / "out", demo, 2)
    codec = Codec.load(demo / "model")
    for step in (1, 2):
        rows = jsonl(tmp_path / "out" / "rollouts" / f"step_{step:06d}.jsonl")
        check_rows(rows, codec, 24)
        assert any(row["kind"] == "branch" for row in rows)
        assert all(row["branching_scores"] for row in rows if row["kind"] == "init")
    signal_of = [row["branching/signal_share"] for row in jsonl(tmp_path / "out" / "checkpoint" / "metrics.jsonl")]
    # The policy that scores has moved only where rollouts are a step old, and never at the first step.
    assert signal_of[0] == 0
    assert (signal_of[1] > 0) == (when == "stale")


@pytest.mark.faults
def test_killed_run_resumes_from_its_checkpoint(demo: Path, tmp_path: Path) -> None:
    """kill -9 behind the second step; steps go on behind the last checkpoint, every step is logged once."""
    chosen = settings(steps=4, validate_every=0, save_every=2)
    process = subprocess.Popen(
        command(tmp_path, demo, chosen), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT
    )
    while not (tmp_path / "work" / "checkpoints" / "step_000002" / "state.json").exists():
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out" / "checkpoint").exists()
    before = jsonl(tmp_path / "work" / "metrics.jsonl")[:2]
    # What a step that was cut off leaves behind.
    with (tmp_path / "work" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "train/score": 9}\n{"step": 4, "tra')
    (tmp_path / "work" / "checkpoints" / "step_000004" / "model").mkdir(parents=True)
    run(tmp_path, demo, chosen)
    check_layout(tmp_path / "out", demo, 4)
    after = jsonl(tmp_path / "out" / "checkpoint" / "metrics.jsonl")
    assert after[:2] == before
    assert after[2]["train/score"] != 9


def test_two_ranks_train_together(demo: Path, tmp_path: Path) -> None:
    result = run(tmp_path, demo, settings(processes=2, minibatch_prompts=2, precision="bf16"))
    check_layout(tmp_path / "out", demo, 2)
    rows = jsonl(tmp_path / "out" / "rollouts" / "step_000001.jsonl")
    check_rows(rows, Codec.load(demo / "model"), 24)
    inits = [row for row in rows if row["kind"] == "init"]
    assert len(inits) == 4
    assert len({row["group"] for row in inits}) == 2
    metrics = jsonl(tmp_path / "out" / "checkpoint" / "metrics.jsonl")
    assert metrics[0]["train/rollouts"] == 4
    # Both ranks' tokens, not those of the rank that writes.
    assert sum(row["rollout/generated_tokens"] for row in metrics) == result.metrics["generated_tokens"]
    assert metrics[0]["branching/points"] == len(rows) - len(inits)


def test_two_ranks_sample_and_learn_what_one_does(demo: Path, tmp_path: Path) -> None:
    """The first step of a float32 run is the same on one rank and on two: rollouts, branches, loss and gradient."""
    firsts, metrics = [], []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        folder.mkdir()
        run(folder, demo, settings(steps=1, processes=processes, minibatch_prompts=2, validate_every=0))
        rows = jsonl(folder / "out" / "rollouts" / "step_000001.jsonl")
        firsts.append({row["uid"]: (row["response_ids"], row["reward"]) for row in rows})
        metrics.append(jsonl(folder / "out" / "checkpoint" / "metrics.jsonl")[0])
    assert firsts[0] == firsts[1]
    for name in ("train/score", "rollout/generated_tokens", "branching/points", "tools/calls"):
        assert metrics[0][name] == pytest.approx(metrics[1][name]), name
    for name in ("update/policy_loss", "update/entropy", "update/grad_norm"):
        assert metrics[0][name] == pytest.approx(metrics[1][name], rel=1e-3, abs=1e-5), name


def test_two_ranks_train_an_adapter_that_peft_loads(demo: Path, tmp_path: Path) -> None:
    """LoRA: what is published is PEFT's own folder; its base model is not in it."""
    chosen = settings(processes=2, minibatch_prompts=2, lora={"rank": 4}, precision="bf16", steps=1)
    # A random model earns nothing, so that its rewards alone would move nothing.
    chosen["algorithm"]["loss"] = {"kl_coefficient": 0.1, "entropy_coefficient": 0.1}
    result = run(tmp_path, demo, chosen)
    published = tmp_path / "out" / "checkpoint"
    assert not (published / "dcp").exists()
    assert (published / "hf" / "tokenizer.json").is_file()
    base = AutoModelForCausalLM.from_pretrained(demo / "model", dtype=torch.float32)
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    merged = PeftModel.from_pretrained(base, published / "adapter").merge_and_unload().state_dict()
    moved = {name for name in before if not torch.equal(before[name], merged[name])}
    assert moved == {name for name in before if name.endswith("proj.weight")}
    (row,) = jsonl(published / "metrics.jsonl")
    assert row["update/ratio"] == pytest.approx(1, abs=0.05)
    assert result.metrics["steps"] == 1


def test_settings_that_do_not_fit_the_ranks_are_one_line(demo: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        command(tmp_path, demo, settings(processes=2)), capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 2
    error = Event.parse(done.stdout.splitlines()[-1])
    assert error is not None
    assert "processes (2) must divide minibatch_prompts (1)" in error.message


def test_two_steps_on_published_rows(shared: Path, tmp_path: Path) -> None:
    """Real questions, repaired by the data stage, with the search results published with them; mixed precision."""
    published = shared / "data"
    source = FileSource(
        rl_train=(str(published / "rl" / "train_10k.parquet"),),
        search_cache=str(published / "search_cache.json.gz"),
        max_rows=16,
    )
    make_data(tmp_path, DataSettings(source=source))
    texts = [row["prompt"][0]["content"] + row["prompt"][1]["content"] for row in real_rows(tmp_path)]
    tiny = TinyModel(**SETTINGS.model_dump() | {"vocabulary": 2048, "max_positions": 4096})
    build_model(tiny, texts * 20, tmp_path / "model")
    chosen = settings(
        algorithm={"rollouts_per_prompt": 4, "initial_rollouts": 2},
        prompt={"system": "row"},
        limits={"max_prompt_tokens": 1500, "max_response_tokens": 48},
        tools={"search": {"backend": "recorded"}},
        micro_batch_tokens=4000,
        precision="bf16",
    )
    run(tmp_path, tmp_path, chosen)
    check_layout(tmp_path / "out", tmp_path, 2)
    questions = {row["extra_info"]["question"] for row in real_rows(tmp_path)}
    codec = Codec.load(tmp_path / "model")
    for step in (1, 2):
        rows = jsonl(tmp_path / "out" / "rollouts" / f"step_{step:06d}.jsonl")
        check_rows(rows, codec, 48)
        for row in rows:
            assert any(question in codec.decode(row["prompt_ids"]) for question in questions)


def real_rows(folder: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(folder / "rl" / "train.parquet").to_pylist()
    return rows
