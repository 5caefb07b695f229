"""The whole chain with every real part, small: on a real S3 server, inline and on real workers, reused and changed."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from appo_core.artifacts import Store
from appo_core.config import DemoSource
from appo_core.data.writers import write_rl
from appo_core.demo import build
from appo_core.processes import Process
from tests.browser import open_page
from tests.flows.test_deployments import POOLS, ROOT, deployed
from tests.s3_server import S3Server

pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.sft]

BEFORE_RL = ("data", "base model", "sft", "serve SFT", "evaluate SFT")
BEHIND_RL = ("rl", "merge", "serve RL", "evaluate RL")


@dataclass(frozen=True)
class World:
    """A Prefect server with all deployments, an S3 store, and one preset."""

    environment: dict[str, str]
    store: str
    preset: Path
    folder: Path

    def appo(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command line as a user does."""
        argv = [sys.executable, "-m", "flows.cli", *arguments]
        return subprocess.run(argv, env=self.environment, cwd=ROOT, capture_output=True, text=True, timeout=900)

    def run_chain(self, *overrides: str) -> dict[str, Any]:
        """The chain's result; raises when it fails."""
        settings = [part for override in overrides for part in ("--set", override)]
        done = self.appo("run", "pipeline", "--preset", str(self.preset), "--store", self.store, "--json", *settings)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return json.loads(done.stdout[done.stdout.index("{") :])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, s3_server: S3Server) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("chain")
    preset = folder / "small.yaml"
    preset.write_text(yaml.safe_dump(_small()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("APPO_HOME", str(folder))
        for name, value in s3_server.environment.items():
            patch.setenv(name, value)
        with deployed(folder) as environment:
            yield World(environment, f"{s3_server.url}/chain", preset, folder)


def _small() -> dict[str, Any]:
    """The demo preset, cut to the least that goes through every stage."""
    settings = yaml.safe_load((ROOT / "infra" / "presets" / "demo.yaml").read_text())
    settings["name"] = "small"
    settings["data"]["source"] |= {"sft_rows": 64, "rl_rows": 8, "valid_rows": 2, "benchmark_rows": 1}
    settings["sft"] |= {"epochs": 1, "cpu_threads": 1}
    settings["rl"] |= {"steps": 1, "prompts_per_step": 2, "minibatch_prompts": 1, "cpu_threads": 1}
    settings["rl"]["algorithm"] |= {"rollouts_per_prompt": 4, "initial_rollouts": 2}
    settings["rl"]["limits"] = settings["evaluate"]["limits"] = settings["rl"]["limits"] | {"max_response_tokens": 24}
    settings["evaluate"] |= {"samples": 2}
    return settings


def statuses(result: dict[str, Any]) -> dict[str, str]:
    return {stage["stage"]: stage["status"] for stage in result["stages"]}


def servers(folder: Path) -> list[str]:
    """Model servers and jobs that still run for this chain."""
    commands = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    return [command for command in commands if str(folder) in command and ("vllm" in command or ".jobs." in command)]


def test_the_chain_runs_on_s3_and_leaves_nothing_running(world: World) -> None:
    result = world.run_chain()
    assert statuses(result) == dict.fromkeys((*BEFORE_RL, *BEHIND_RL), "ran")
    store = Store.open(result["store"])
    report = store.find(result["reports"][1])
    assert report.metrics["samples"] == 13 * 2
    assert store.verify() == []
    assert servers(world.folder) == []


def test_lineage_leads_from_the_model_to_its_datasets(world: World) -> None:
    done = world.appo("lineage", "model/small@latest", "--store", world.store)
    assert done.returncode == 0, done.stderr
    for ancestor in (
        "rl-checkpoint/small",
        "sft-model/small",
        "model/small-base",
        "dataset/small-rl",
        "dataset/small-sft",
    ):
        assert ancestor in done.stdout


def test_the_ui_shows_the_run_and_the_lineage_can_be_walked(world: World) -> None:
    """In a real browser: the finished run, and by clicks from the model's page through its graph to a dataset's."""
    ui = world.environment["PREFECT_API_URL"].removesuffix("/api") + "/v2"
    with open_page() as page:
        page.goto(f"{ui}/runs")
        page.get_by_text("pipeline small").first.wait_for()
        page.goto(f"{ui}/artifacts/key/model-small")
        page.locator("a[href*='/artifacts/artifact/']").first.click()
        page.locator("svg a", has_text="dataset/small-rl").first.click()
        page.wait_for_url("**/artifacts/key/dataset-small-rl")
        assert "/artifacts/key/dataset-small-rl" in page.url


def test_unchanged_settings_reuse_every_stage(world: World) -> None:
    assert statuses(world.run_chain()) == dict.fromkeys((*BEFORE_RL, *BEHIND_RL), "reused")


def test_one_rl_setting_re_runs_what_follows_it_on_the_workers_of_its_pools(world: World) -> None:
    with ExitStack() as stack:
        for pool in POOLS:
            argv = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--limit", "4"]
            process = Process.start(argv, env=dict(world.environment), cwd=ROOT, log=world.folder / f"{pool}.log")
            stack.enter_context(process)
        result = world.run_chain("rl.optimizer.learning_rate=2.0e-4", "execution=deployments")
    assert statuses(result) == dict.fromkeys(BEFORE_RL, "reused") | dict.fromkeys(BEHIND_RL, "ran")
    assert servers(world.folder) == []


def test_a_failing_check_ends_the_run_before_the_next_stage(world: World, tmp_path: Path) -> None:
    """A control character in a prompt, with repair turned off: the run ends before anything is trained."""
    demo = build(DemoSource(sft_rows=8, rl_rows=2, valid_rows=2, benchmark_rows=1))
    demo.rl_train[1]["prompt"][1]["content"] += " Use \x08oxed{}."
    write_rl(tmp_path / "train.parquet", demo.rl_train)
    files = {"kind": "files", "rl_train": [str(tmp_path / "train.parquet")]}
    settings = _small() | {"name": "spoilt", "data": {"source": files, "repair": False}}
    (tmp_path / "spoilt.yaml").write_text(yaml.safe_dump(settings))
    done = world.appo("run", "pipeline", "--preset", str(tmp_path / "spoilt.yaml"), "--store", world.store, "--json")
    assert done.returncode == 2, done.stderr[-2000:]
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert "train-1" in error
    assert "control character" in error
    store = Store.open(world.store)
    assert not store.list("dataset", "spoilt-rl")
    assert not store.list("sft-model", "spoilt")
