"""Optional programs from Debian: bubblewrap (the Python tool's sandbox) and Chromium (tests look at the UI with it).

Nothing depends on them: sandlock from the engine environment stands in for bubblewrap, and tests without a browser
are skipped. So a failure here is a notice, and is not tried again by every later set-up.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from appo_core.environments import ROOT
from infra.console import say, timed

_APT = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=120"]
_LIMIT_S = 300


def missing_packages(os_release: str, find: Callable[[str], str | None] = shutil.which) -> list[str]:
    """Debian packages whose programs are not on the path; Ubuntu's Chromium is a snap, which containers cannot run."""
    wanted: dict[str, tuple[str, ...]] = {"bubblewrap": ("bwrap",)}
    if "ID=debian" in os_release.splitlines():
        wanted["chromium"] = ("chromium", "google-chrome")
    return [package for package, programs in wanted.items() if not any(find(program) for program in programs)]


def install_system_packages(root: Path = ROOT) -> None:
    """Install what is missing where this process may; says what to do otherwise, once per checkout."""
    release = Path("/etc/os-release")
    packages = missing_packages(release.read_text() if release.exists() else "")
    note = root / ".venvs" / "system-packages.txt"
    if not packages or (note.exists() and note.read_text().split() == packages):
        return
    if not _try_install(packages):
        say(f"optional: {' and '.join(packages)} not installed; to add: apt-get install {' '.join(packages)}")
        note.write_text(" ".join(packages))


def _try_install(packages: list[str]) -> bool:
    if os.geteuid() != 0 or shutil.which("apt-get") is None or os.environ.get("APPO_SYSTEM_PACKAGES") == "0":
        return False
    install = [*_APT, "install", "--no-install-recommends", *packages]
    with timed(f"installing {' and '.join(packages)} with apt-get"):
        # The package lists at hand may do; where they are old or missing, they are fetched first.
        return _quiet(install) or (_quiet([*_APT, "update"]) and _quiet(install))


def _quiet(command: list[str]) -> bool:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(command, check=False, env=environment, capture_output=True, timeout=_LIMIT_S)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
