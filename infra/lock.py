"""`python3 -m infra.lock`: resolve the environments' inputs into locks with hashes.

`--check` resolves anew and compares, changing nothing.
It also asks the indexes for every file that the locks name (nothing is
downloaded but metadata): so the GPU locks are shown to be installable on machines without a GPU.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from appo_core.environments import PYTHON_VERSION, ROOT
from infra import pip_sources
from infra.console import SetupError, fail, timed
from infra.uv_tool import Uv, get_uv

LOCKS: dict[str, tuple[str, ...]] = {
    "uv": (),
    "orchestrator": (),
    "engine": ("media", "cpu"),
    "engine-gpu": (),
    "sft": ("media", "sft", "cpu"),
    "sft-gpu": ("media", "sft"),
}
"""Every lock, and the override files that leave out what it does not need."""
_PYTHON = ".".join(map(str, PYTHON_VERSION))
_FOLDER = ROOT / "infra" / "environments"
_PLATFORM = "x86_64-manylinux_2_35"
"""Ubuntu 22.04 and later, Debian 12 and later; some of vLLM's requirements have no wheels for older C libraries."""


def pins(lock: str) -> set[str]:
    """The `name==version` pins in a lock's text."""
    return {line.split()[0] for line in lock.splitlines() if "==" in line and line[:1].isalnum()}


def compile_lock(name: str, output: Path, uv: Uv) -> None:
    """Resolve one input into `output`, keeping the versions already there where they still fit."""
    overrides = [word for part in LOCKS[name] for word in ("--override", f"{part}.overrides")]
    target = ["--python-version", _PYTHON, "--python-platform", _PLATFORM]
    form = ["--quiet", "--generate-hashes", "--no-emit-index-url", "--custom-compile-command", "make lock"]
    # Hashes of every file that the index has; a mirror of part of it would leave some out.
    source = _torch_source(uv) if name in ("engine", "sft") else []
    uv.run(
        *("--directory", str(_FOLDER), "pip", "compile", f"{name}.in", "--output-file", str(output)),
        *(*form, *target, *overrides, *source),
    )


def check(name: str, uv: Uv, scratch: Path) -> list[str]:
    """Differences between a lock and its input resolved anew; empty when the lock is current and can be installed."""
    lock, fresh = _FOLDER / f"{name}.lock", scratch / f"{name}.lock"
    shutil.copy(lock, fresh)
    compile_lock(name, fresh, uv)
    old, new = pins(lock.read_text()), pins(fresh.read_text())
    differences = [f"- {pin}" for pin in sorted(old - new)] + [f"+ {pin}" for pin in sorted(new - old)]
    source = _torch_source(uv) if name in ("engine", "sft") else []
    target = ["--target", str(scratch / name), "--python-platform", _PLATFORM, "--python-version", _PYTHON]
    uv.run("pip", "sync", "--quiet", "--dry-run", "--require-hashes", "--no-build", *target, *source, str(lock))
    return differences


def _torch_source(uv: Uv) -> list[str]:
    links = [word for value in uv.sources.find_links for word in ("--find-links", value)]
    return links or ["--torch-backend", "cpu"]


def main() -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make lock", description="Resolve the environments into locks.")
    parser.add_argument("names", nargs="*", help=f"locks (default: {' '.join(LOCKS)})")
    parser.add_argument("--check", action="store_true", help="compare only")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that fit")
    options = parser.parse_args()
    try:
        return _run(tuple(options.names) or tuple(LOCKS), check_only=options.check, upgrade=options.upgrade)
    except subprocess.CalledProcessError as error:
        return fail(SetupError(f"uv ended with exit code {error.returncode}", "its message is above"))
    except (SetupError, OSError) as error:
        return fail(error)


def _run(names: tuple[str, ...], *, check_only: bool, upgrade: bool) -> int:
    (ROOT / ".venvs").mkdir(exist_ok=True)
    uv = get_uv(pip_sources.read())
    outdated = 0
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            with timed(f"{'checking' if check_only else 'resolving'} {name}.lock"):
                outdated += _one(name, uv, Path(scratch), check_only=check_only, upgrade=upgrade)
    return 1 if outdated else 0


def _one(name: str, uv: Uv, scratch: Path, *, check_only: bool, upgrade: bool) -> bool:
    if not check_only:
        lock = _FOLDER / f"{name}.lock"
        if upgrade:
            lock.unlink(missing_ok=True)
        compile_lock(name, lock, uv)
        return False
    differences = check(name, uv, scratch)
    if differences:
        print(f"{name}.lock is out of date (run make lock):", *differences, sep="\n  ", file=sys.stderr)
    return bool(differences)


if __name__ == "__main__":
    sys.exit(main())
