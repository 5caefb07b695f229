"""The SFT job for real: LLaMA-Factory on a tiny model, on a CPU."""

import json
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from appo_core import environments
from appo_core.jobs.contract import Event
from appo_core.processes import Process, clean_environment

pytestmark = [pytest.mark.sft, pytest.mark.slow]
SETTINGS = {
    "learning_rate": 5e-3,
    "epochs": 2,
    "cutoff_tokens": 256,
    "batch_size": 4,
    "gradient_accumulation": 1,
    "precision": "fp32",
    "gradient_checkpointing": False,
}


def python(*arguments: str | Path) -> str:
    """Standard output of the sft environment's Python."""
    command = [str(environments.python("sft")), *map(str, arguments)]
    done = subprocess.run(
        command, env=clean_environment(), cwd=environments.ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def conversation(number: int) -> dict[str, Any]:
    """One row with both kinds of calls, or none; text that templates and placeholders could trip over."""
    answer = {"from": "gpt", "value": f"<think> done </think> <answer> \\boxed{{{number * 30}}} </answer>"}
    question = {"from": "human", "value": f"  What is {number} times the height? {{{{idx}}}} {{{{content}}}} "}
    calls = [
        {"from": "function_call", "value": "<think> first\n\n</think> <search> height of the tower </search>"},
        {"from": "observation", "value": " <result>\nPage 1: The tower is 30 m high. naïve 東京\n</result>"},
        {"from": "function_call", "value": f'<python>\nprint({{"a": {number}}}["a"] * 30)\n</python>'},
        {"from": "observation", "value": f" <result>\n{number * 30}\n</result>"},
    ]
    turns = [question, *(calls if number % 3 else []), answer]
    return {"id": str(number), "system": "Use tools." if number % 2 else "", "conversations": turns}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny model and forty conversations."""
    folder = tmp_path_factory.mktemp("sft")
    python("-m", "tests.tiny_model", folder / "model", folder / "llama3")
    (folder / "data").mkdir()
    rows = [json.dumps(conversation(number)) for number in range(40)]
    (folder / "data" / "train.jsonl").write_text("\n".join(rows) + "\n")
    return {"model": folder / "model", "data": folder / "data"}


class Run:
    """One run of the job in `folder`."""

    def __init__(self, folder: Path, inputs: dict[str, Path], **settings: Any) -> None:
        self.folder = folder
        self.events: list[Event] = []
        self.trained = threading.Event()
        self.kill_at: int | None = None
        folder.mkdir(exist_ok=True)
        job = {
            "settings": SETTINGS | settings,
            "inputs": {role: str(path) for role, path in inputs.items()},
            "output": str(folder / "out"),
            "work": str(folder / "work"),
        }
        (folder / "job.json").write_text(json.dumps(job))

    def __call__(self) -> int:
        """Run to the end, or until `kill_at` steps are done; the exit code."""
        argv = [str(environments.python("sft")), "-m", "appo_core.jobs.sft", str(self.folder / "job.json")]
        self.process = Process.start(argv, cwd=environments.ROOT, log=self.folder / "log", on_line=self._line)
        if self.kill_at is not None:
            self.trained.wait(120)
            return self.process.stop(grace_s=0)
        return self.process.wait()

    def _line(self, line: str) -> None:
        event = Event.parse(line)
        if event is not None:
            self.events.append(event)
            if self.kill_at is not None and event.event == "progress" and event.current >= self.kill_at:
                self.trained.set()

    def of(self, kind: str) -> list[Event]:
        """Events of one kind."""
        return [event for event in self.events if event.event == kind]


def test_training_ids_are_the_rollout_protocols(tmp_path: Path, inputs: dict[str, Path]) -> None:
    models = inputs["model"], inputs["model"].with_name("llama3")
    output = python("-m", "tests.sft_encoding", inputs["data"] / "train.jsonl", tmp_path, *models)
    reports = [json.loads(line) for line in output.splitlines() if line.startswith('{"rows"')]
    assert [report["end_token"] for report in reports] == ["<|im_end|>", "<|eot_id|>"]
    for report in reports:
        assert len(report["rows"]) == 40
        for row in report["rows"]:
            assert row["ids"] == row["expected"]
            assert [int(label != -100) for label in row["labels"]] == row["mask"]
            assert all(label in (-100, number) for label, number in zip(row["labels"], row["ids"], strict=True))
            assert row["labels"][-1] == report["end"]


def test_trains_resumes_after_a_kill_and_exports(tmp_path: Path, inputs: dict[str, Path]) -> None:
    killed = Run(tmp_path, inputs, save_steps=3)
    killed.kill_at = 7
    assert killed() == -signal.SIGKILL
    assert not list((tmp_path / "out").iterdir())

    run = Run(tmp_path, inputs, save_steps=3)
    assert run() == 0
    progress, (result,) = run.of("progress"), run.of("result")
    assert progress[0].current > 3
    assert (progress[-1].current, progress[-1].total, progress[-1].unit) == (20, 20, "steps")
    assert progress[-1].metrics["learning_rate"] < killed.of("progress")[2].metrics["learning_rate"] / 10
    assert result.metrics["train_loss"] < result.metrics["first_loss"]
    assert (result.metrics["steps"], result.metrics["rows"]) == (20, 40)
    assert result.metrics["tokens"] > 0
    base, out = inputs["model"], tmp_path / "out"
    assert (out / "tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes()
    assert (out / "model.safetensors").read_bytes() != (base / "model.safetensors").read_bytes()
    load = "import sys, transformers as t; m = t.AutoModelForCausalLM.from_pretrained(sys.argv[1]); print(m.dtype)"
    assert python("-c", load, out).strip() == "torch.float32"


def test_two_processes_and_packing(tmp_path: Path, inputs: dict[str, Path]) -> None:
    run = Run(tmp_path, inputs, processes=2, packing=True, batch_size=1, epochs=1)
    assert run() == 0
    assert run.of("result")[0].metrics["tokens"] > 0
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_a_loss_that_is_no_number_fails_the_stage(tmp_path: Path, inputs: dict[str, Path]) -> None:
    run = Run(tmp_path, inputs, learning_rate=1e30, warmup_ratio=0, epochs=1)
    assert run() == 2
    assert run.of("error")[0].message.startswith("training loss is nan at step")
    assert not list((tmp_path / "out").iterdir())


def test_bad_input_is_one_line(tmp_path: Path, inputs: dict[str, Path]) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "train.jsonl").write_text(json.dumps(conversation(1)) + "\n{\n")
    for name, given, message in (
        ("row", inputs | {"data": bad}, "train.jsonl row 2: not JSON"),
        ("model", inputs | {"model": tmp_path / "none"}, f"input 'model': {tmp_path / 'none'} does not exist"),
        ("folder", inputs | {"model": bad}, f"input 'model': {bad} has no config.json"),
    ):
        run = Run(tmp_path / name, given)
        assert run() == 2
        assert run.of("error")[0].message.startswith(message)
        assert run.of("error")[0].remedy
        assert "Traceback" not in (run.folder / "log").read_text()
