"""prefect.yaml deployed on a real server, and run by real workers."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.utilities.callables import parameter_schema

from appo_core.artifacts import Store
from appo_core.config import PipelineSettings
from appo_core.config.presets import load_preset
from appo_core.processes import Process
from flows.cli.prefect_server import free_port, server
from flows.pipeline import pipeline_flow

ROOT = Path(__file__).resolve().parents[2]
POOLS = ("cpu", "gpu-train", "gpu-serve")
SMALL = {"source": {"kind": "demo", "sft_rows": 16, "rl_rows": 8, "valid_rows": 4, "benchmark_rows": 1}}


def documents() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "prefect.yaml").read_text())


def test_every_flow_is_deployed_on_a_known_pool_without_machine_paths() -> None:
    document = documents()
    deployed = {one["name"]: one for one in document["deployments"]}
    assert set(deployed) == {"pipeline", "compare", "data", "base-model", "sft", "rl", "merge", "serve", "evaluate"}
    assert {one["work_pool"]["name"] for one in deployed.values()} == set(POOLS)
    assert {name for name, one in deployed.items() if one["work_pool"]["name"] == "gpu-train"} == {"sft", "rl", "merge"}
    for one in deployed.values():
        path, _, function = one["entrypoint"].partition(":")
        assert f"def {function}(" in (ROOT / path).read_text()
    assert str(ROOT) not in (ROOT / "prefect.yaml").read_text()


def test_the_parameter_form_starts_from_the_demo_preset() -> None:
    settings = parameter_schema(pipeline_flow).properties["settings"]["default"]
    assert PipelineSettings.model_validate(settings) == load_preset("demo")


@contextmanager
def deployed(home: Path) -> Iterator[dict[str, str]]:
    """A server with the pools and deployments of prefect.yaml; the environment that points at it."""
    os.environ["APPO_HOME"] = str(home)
    with server(free_port()) as url:
        environment = os.environ | {"PREFECT_API_URL": url, "PREFECT_HOME": str(home / "client")}
        for pool in POOLS:
            prefect(environment, "work-pool", "create", pool, "--type", "process")
        prefect(environment, "--no-prompt", "deploy", "--all")
        yield environment


def prefect(environment: dict[str, str], *arguments: str) -> str:
    argv = [sys.executable, "-m", "prefect", *arguments]
    done = subprocess.run(argv, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_parent_runs_a_stage_as_its_deployment_on_a_real_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPO_HOME", str(tmp_path))
    store = f"file://{tmp_path / 'store'}"
    caller = f"""
from prefect import flow
from appo_core.artifacts import Store
from appo_core.config import DataSettings
from flows.data import data_flow
from flows.dispatch import run_flow

@flow
def parent():
    settings = DataSettings.model_validate({SMALL!r})
    return run_flow("deployments", data_flow, Store.open({store!r}), name="small", settings=settings)

print(parent().model_dump_json())
"""
    with deployed(tmp_path) as environment, ExitStack() as stack:
        argv = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "cpu", "--limit", "1"]
        log = tmp_path / "worker.log"
        stack.enter_context(Process.start(argv, env=environment, cwd=tmp_path, log=log))
        done = subprocess.run(
            [sys.executable, "-c", caller], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=400
        )
        assert done.returncode == 0, done.stderr[-3000:] + log.read_text()[-3000:]
    assert '"status":"ran"' in done.stdout
    assert Store.open(store).find("dataset/small-rl@latest").producer.flow == "data"
