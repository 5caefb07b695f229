"""Set-up on a small scale: real uv, real virtual environments, and a package made on the spot."""

import hashlib
import queue
import subprocess
import threading
import zipfile
from pathlib import Path

import pytest

from appo_core import environments
from infra import setup
from infra.console import SetupError
from infra.pip_sources import PackageSources
from infra.uv_tool import Uv

UV = environments.folder("uv") / "bin" / "uv"
pytestmark = pytest.mark.skipif(not UV.exists(), reason="uv is not set up: make setup")


def build_wheel(folder: Path, version: str) -> str:
    """A package `tiny` of one module; returns its line in a lock."""
    folder.mkdir(exist_ok=True)
    wheel, info = folder / f"tiny-{version}-py3-none-any.whl", f"tiny-{version}.dist-info"
    files = {
        "tiny.py": f"VERSION = '{version}'\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)
    return f"tiny=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def write_lock(root: Path, version: str) -> Path:
    lock = root / "infra" / "environments" / "orchestrator.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text(build_wheel(root / "wheels", version))
    return lock


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_lock(tmp_path, "1.0")
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "cli.py").write_text("import sys\n\n\ndef main():\n    print('appo', *sys.argv[1:])\n")
    return tmp_path


@pytest.fixture
def uv(root: Path) -> Uv:
    return Uv(UV, PackageSources(find_links=(str(root / "wheels"),), no_index=True))


def installed_version(root: Path) -> str:
    command = [str(environments.python("orchestrator", root)), "-c", "import tiny; print(tiny.VERSION)"]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd="/").stdout.strip()


def test_an_environment_follows_its_lock_and_finds_the_project(root: Path, uv: Uv) -> None:
    setup.install("orchestrator", uv, root)
    assert installed_version(root) == "1.0"
    assert environments.is_current("orchestrator", root)
    appo = environments.folder("orchestrator", root) / "bin" / "appo"
    assert subprocess.run([appo, "a b"], check=True, capture_output=True, text=True, cwd="/").stdout == "appo a b\n"


def test_nothing_to_do_needs_neither_uv_nor_pip(root: Path, uv: Uv) -> None:
    setup.install("orchestrator", uv, root)
    (root / ".venvs" / "system-packages.txt").write_text("bubblewrap chromium")
    setup.set_up(("orchestrator",), root)
    assert not (root / ".venvs" / "uv").exists()


def test_a_changed_lock_is_followed(root: Path, uv: Uv) -> None:
    setup.install("orchestrator", uv, root)
    write_lock(root, "2.0.1")  # of another length: bytecode made within a second is told apart by size only
    assert not environments.is_current("orchestrator", root)
    setup.install("orchestrator", uv, root)
    assert installed_version(root) == "2.0.1"


def test_an_interrupted_environment_is_built_anew(root: Path, uv: Uv) -> None:
    setup.install("orchestrator", uv, root)
    folder = environments.folder("orchestrator", root)
    (folder / environments.STAMP_NAME).unlink()
    (folder / "pyvenv.cfg").unlink()
    packages = next(folder.glob("lib/*/site-packages"))
    (packages / "tiny-1.0.dist-info" / "RECORD").unlink()
    (packages / "left_over.py").touch()
    setup.install("orchestrator", uv, root)
    assert installed_version(root) == "1.0"
    assert not (packages / "left_over.py").exists()


def test_a_file_with_another_hash_is_refused(root: Path, uv: Uv) -> None:
    lock = environments.lock_file("orchestrator", root)
    lock.write_text(lock.read_text()[:-5] + "0000\n")
    with pytest.raises(SetupError, match=r"orchestrator: installing orchestrator\.lock failed; .*make setup again"):
        setup.install("orchestrator", uv, root)
    assert environments.read_stamp("orchestrator", root) is None


def test_a_second_set_up_waits_for_the_first(root: Path, uv: Uv, monkeypatch: pytest.MonkeyPatch) -> None:
    setup.install("orchestrator", uv, root)
    (root / ".venvs" / "system-packages.txt").write_text("bubblewrap chromium")
    said: queue.Queue[str] = queue.Queue()
    monkeypatch.setattr(setup, "say", said.put)
    second = threading.Thread(target=setup.set_up, args=(("orchestrator",), root))
    with setup._alone(root):
        second.start()
        assert "another set-up of this checkout is running" in said.get(timeout=60)
        assert second.is_alive()
    second.join()
    assert environments.is_current("orchestrator", root)


def test_torch_for_cpus_comes_from_uv_where_pip_knows_none(root: Path, uv: Uv) -> None:
    lock = write_lock(root, "1.0")
    interpreter = ["--python", str(environments.python("orchestrator"))]
    assert "--torch-backend" not in setup.source_arguments(lock, uv, interpreter)
    lock.write_text("torch==2.13.0+cpu \\\n    --hash=sha256:00\n")
    assert setup.source_arguments(lock, uv, interpreter)[-2:] == ["--torch-backend", "cpu"]
    lock.write_text("torch==2.13.0 \\\n    --hash=sha256:00\n")
    assert "--torch-backend" not in setup.source_arguments(lock, uv, interpreter)


def test_too_little_space_is_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "_NEEDED_BYTES", 2**60)
    with pytest.raises(SetupError, match="GiB needed; free some disk space"):
        setup.set_up(("orchestrator",), root)
