"""`python3 -m infra.setup`: install the three environments from their locks.

Repeatable: a stamp in each environment names the lock it was installed from, so a run with nothing to do ends at
once. Safe to interrupt (an environment without a stamp is built anew) and to start twice (a file lock).
"""

import argparse
import fcntl
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from json import dumps
from pathlib import Path

from appo_core import environments
from appo_core.environments import ENVIRONMENTS, PYTHON_VERSION, ROOT
from infra import pip_sources
from infra.console import SetupError, fail, say, timed
from infra.system_packages import install_system_packages
from infra.uv_tool import Uv, get_uv

_NEEDED_BYTES = 3 * 2**30
"""Least free space: the environments' bytecode and links into uv's cache. A cold cache takes 4 GiB more (GPU: 15)."""
_COMMAND = """#!/bin/sh
'''exec' {python} "$0" "$@"
' '''
import sys
from flows.cli import main
sys.exit(main())
"""
"""A program to the shell and to Python alike: the kernel cuts interpreter lines that are long or hold spaces."""
_REMEDY = "see the lines above; check the network and free disk space, then run make setup again"


def set_up(names: tuple[str, ...] = ENVIRONMENTS, root: Path = ROOT) -> None:
    """Bring environments up to date with their locks; raises `SetupError`."""
    (root / ".venvs").mkdir(exist_ok=True)
    with _alone(root):
        install_system_packages(root)
        stale = [name for name in names if not environments.is_current(name, root)]
        if stale:
            _install_all(stale, root)


def _install_all(names: list[str], root: Path) -> None:
    _check_space(root)
    uv = get_uv(pip_sources.read(), root)
    for number, name in enumerate(names, start=1):
        with timed(f"[{number}/{len(names)}] {name} environment ({environments.lock_file(name, root).name})"):
            install(name, uv, root)


def install(name: str, uv: Uv, root: Path = ROOT) -> None:
    """Install one environment from its lock; one without a stamp (interrupted, or not ours) is built from nothing."""
    stamp = environments.folder(name, root) / environments.STAMP_NAME
    in_place = environments.python(name, root).exists() and stamp.exists()
    stamp.unlink(missing_ok=True)
    try:
        if not (in_place and _sync(name, uv, root)):
            _create(name, uv, root)
            if not _sync(name, uv, root):
                raise SetupError(f"{name}: installing {environments.lock_file(name, root).name} failed", _REMEDY)
    except OSError as error:
        raise SetupError(f"{name}: {error}", _REMEDY) from error
    _link_project(name, root)
    stamp.write_text(dumps(environments.expected_stamp(name, root)))


def _create(name: str, uv: Uv, root: Path) -> None:
    """An empty virtual environment with the locks' Python: the running one if it fits, else one that uv finds."""
    wanted = ".".join(map(str, PYTHON_VERSION))
    interpreter = sys.executable if sys.version_info[:2] == PYTHON_VERSION else wanted
    folder = environments.folder(name, root)
    if folder.exists():  # uv refuses to clear what an interrupted set-up left without pyvenv.cfg
        shutil.rmtree(folder)
    try:
        uv.run("venv", "--quiet", "--python", interpreter, str(folder), quiet=True)
    except subprocess.CalledProcessError as error:
        said = " ".join(error.stderr.split())
        raise SetupError(f"no Python {wanted} for {folder} ({said})", f"install Python {wanted}") from error


def _sync(name: str, uv: Uv, root: Path) -> bool:
    """Install exactly the lock, by hash and without resolving, with bytecode (it makes `import vllm` 10 s quicker)."""
    lock = environments.lock_file(name, root)
    interpreter = ["--python", str(environments.python(name, root))]
    checks = ["--require-hashes", "--no-build", "--compile-bytecode"]
    try:
        uv.follow("pip", "sync", *interpreter, *checks, *source_arguments(lock, uv, interpreter), str(lock))
    except subprocess.CalledProcessError:
        return False
    return True


def source_arguments(lock: Path, uv: Uv, interpreter: list[str]) -> list[str]:
    """Where uv takes a lock's packages from: pip's sources; CPU torch from uv's own backend where those lack it."""
    torch = next((line.split()[0] for line in lock.read_text().splitlines() if line.startswith("torch==")), "")
    ours = uv.sources.arguments(find_links=not torch or torch.endswith("+cpu"))
    if not torch.endswith("+cpu"):
        return ours
    if uv.succeeds("pip", "install", "--dry-run", "--no-deps", *interpreter, *ours, torch):
        return ours
    return [*ours, "--torch-backend", "cpu"]


def _link_project(name: str, root: Path) -> None:
    """Make this checkout importable, and `appo` a command of the orchestrator, with nothing to build."""
    folder = environments.folder(name, root)
    packages = folder / "lib" / f"python{'.'.join(map(str, PYTHON_VERSION))}" / "site-packages"
    (packages / "appo_pipeline.pth").write_text(f"{root}\n")
    if name == "orchestrator":
        command = folder / "bin" / "appo"
        command.write_text(_COMMAND.format(python=shlex.quote(str(folder / "bin" / "python"))))
        command.chmod(0o755)


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Hold the checkout's set-up lock; a second set-up waits, then finds the work done."""
    with (root / ".venvs" / "setup.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up of this checkout is running; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _check_space(root: Path) -> None:
    free = shutil.disk_usage(root).free
    if free < _NEEDED_BYTES:
        needed = f"{_NEEDED_BYTES / 2**30:.0f} GiB"
        raise SetupError(f"{root}: {free / 2**30:.1f} GiB free, {needed} needed", "free some disk space")


def main() -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make setup", description="Install the environments from their locks.")
    parser.add_argument("names", nargs="*", choices=[*ENVIRONMENTS, []], help="environments (default: all)")
    names = tuple(parser.parse_args().names) or ENVIRONMENTS
    try:
        set_up(names)
    except (SetupError, ValueError, OSError) as error:
        return fail(error)
    except KeyboardInterrupt:
        return fail(SetupError("interrupted", "run make setup again; finished environments are kept"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
