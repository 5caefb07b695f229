"""The command line as a user meets it: what it prints, and how it exits."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from appo_core.artifacts import Store
from tests.drafts import make_draft


def appo(folder: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    import os

    env = os.environ | {"APPO_HOME": str(folder / "home"), **environment}
    argv = [sys.executable, "-m", "flows.cli", *arguments]
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, timeout=300)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.open(f"file://{tmp_path / 'home' / 'store'}")
    data = store.publish(make_draft(tmp_path, kind="dataset", name="demo-sft"))
    store.publish(make_draft(tmp_path, kind="model", name="demo", parents=(data.parent("data"),)))
    return store


def test_help_names_the_commands_and_exit_codes_without_importing_prefect(tmp_path: Path) -> None:
    done = appo(tmp_path, "--help")
    assert done.returncode == 0
    for word in ("run", "lineage", "store", "doctor", "presets", "ui", "Exit codes", "130"):
        assert word in done.stdout
    loaded = "import sys, flows.cli.app; print('prefect' in sys.modules, 'pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(
    ("arguments", "code", "parts"),
    [
        (["run", "pipelin"], 2, ["unknown flow 'pipelin'", "pipeline"]),
        (["run", "data", "--preset", "dmeo"], 2, ["unknown preset 'dmeo'", "did you mean demo"]),
        (["run", "data", "--set", "rl.stepz=3"], 2, ["unknown key 'rl.stepz'", "rl.steps"]),
        (["run", "data", "--set", "rl.steps=many"], 2, ["'rl.steps'", "integer"]),
        (["run", "rl", "--input", "modle=a/b"], 2, ["expected ROLE=REF", "model, data, corpus"]),
        (["run", "rl", "--input", "model=demo"], 2, ["'demo' is no artifact reference"]),
        (["lineage", "model/absent@latest"], 2, ["model/absent@latest is not in"]),
        (["lineage", "modle/demo"], 2, ["unknown artifact kind 'modle'"]),
        (["run", "data", "--store", "nowhere://x"], 2, ["nowhere://x"]),
        (["presets", "dmeo"], 2, ["did you mean demo"]),
        (["frobnicate"], 2, ["No such command"]),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    tmp_path: Path, arguments: list[str], code: int, parts: list[str]
) -> None:
    done = appo(tmp_path, *arguments)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in done.stderr
    if "No such command" not in parts:
        assert len(done.stderr.strip().splitlines()) == 1


def test_an_unreachable_store_or_server_is_exit_code_3(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        s3 = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
        away = appo(tmp_path, "run", "data", "--store", "s3://bucket/x", **s3)
        alone = appo(tmp_path, "run", "data", PREFECT_API_URL=f"http://127.0.0.1:{port}/api")
    assert (away.returncode, alone.returncode) == (3, 3)
    assert "s3://bucket" in away.stderr or "127.0.0.1" in away.stderr
    assert "does not answer" in alone.stderr
    assert "Traceback" not in away.stderr + alone.stderr


def test_a_store_that_cannot_be_written_ends_a_run_before_it_starts(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = appo(tmp_path, "run", "data", "--store", str(tmp_path / "file" / "store"))
    assert done.returncode == 2
    assert "is not accessible; give this user write access" in done.stderr
    assert "Prefect" not in done.stdout


def test_faults_are_json_where_a_script_asks_for_it(tmp_path: Path) -> None:
    done = appo(tmp_path, "lineage", "model/absent", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["exit_code"] == 2


def test_lineage_prints_the_tree_down_to_the_data(tmp_path: Path, store: Store) -> None:
    done = appo(tmp_path, "lineage", "model/demo@latest")
    assert done.returncode == 0
    assert str(store.find("model/demo").ref) in done.stdout
    assert f"data: {store.find('dataset/demo-sft').ref}" in done.stdout
    tree = json.loads(appo(tmp_path, "lineage", "model/demo", "--json").stdout)
    assert len(tree["nodes"]) == 2


def test_store_ls_and_verify(tmp_path: Path, store: Store) -> None:
    assert "model/demo@" in appo(tmp_path, "store", "ls").stdout
    rows = json.loads(appo(tmp_path, "store", "ls", "dataset", "--json").stdout)
    assert [row["ref"] for row in rows] == [str(store.find("dataset/demo-sft").ref)]
    assert appo(tmp_path, "store", "verify").returncode == 0
    victim = next((tmp_path / "home" / "store" / "model").rglob("train.jsonl"))
    victim.chmod(0o644)
    victim.write_text("tampered")
    done = appo(tmp_path, "store", "verify", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)[0]["path"] == "train.jsonl"


def test_presets_are_listed_and_resolved(tmp_path: Path) -> None:
    assert "demo" in json.loads(appo(tmp_path, "presets", "--json").stdout)
    shown = json.loads(appo(tmp_path, "presets", "demo", "--set", "rl.steps=3", "--json").stdout)
    assert shown["rl"]["steps"] == 3


def test_doctor_says_what_is_there(tmp_path: Path) -> None:
    findings = json.loads(appo(tmp_path, "doctor", "--json").stdout)
    assert {"python"} <= {one["name"] for one in findings}


def test_a_port_in_use_is_named_with_its_remedy(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = appo(tmp_path, "ui", "--port", str(port))
    assert done.returncode == 2
    assert f"port {port} is in use" in done.stderr
    assert "--port" in done.stderr


SMALL = ("data.source.sft_rows=16", "data.source.rl_rows=8", "data.source.valid_rows=4", "data.source.benchmark_rows=1")


@pytest.mark.slow
def test_a_flow_runs_with_a_server_of_its_own_which_then_ends(tmp_path: Path) -> None:
    sets = [word for one in SMALL for word in ("--set", one)]
    first = appo(tmp_path, "run", "data", *sets, "--json")
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["status"] == "ran"
    assert not (tmp_path / "home" / "prefect" / "server.json").exists()
    assert (tmp_path / "home" / "prefect" / "prefect.db").exists()
    again = appo(tmp_path, "run", "data", *sets)
    assert again.returncode == 0, again.stderr
    assert "data: reused" in again.stdout


@pytest.mark.slow
def test_bad_data_is_exit_code_2_with_one_line(tmp_path: Path) -> None:
    rows = tmp_path / "rows.parquet"
    rows.write_bytes(b"no parquet")
    preset = tmp_path / "mine.yaml"
    preset.write_text(f"extends: demo\nname: mine\ndata: {{source: {{kind: files, rl_train: [{rows}]}}}}\n")
    done = appo(tmp_path, "run", "data", "--preset", str(preset))
    assert done.returncode == 2
    (error,) = done.stderr.strip().splitlines()
    assert "rows.parquet" in error
