"""uv, which installs the environments: fetched once with pip, pinned and checked by hash."""

import os
import subprocess
import sys
from pathlib import Path

from appo_core.environments import ROOT
from infra.console import SetupError, timed
from infra.pip_sources import PackageSources, pip_command

_LOCK = "infra/environments/uv.lock"


class Uv:
    """A uv program, run with this machine's package sources and certificates."""

    def __init__(self, program: Path, sources: PackageSources) -> None:
        self.program, self.sources = program, sources
        # An active environment must not draw the installation to itself.
        kept = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "CONDA_PREFIX")}
        self.environment = {**kept, **sources.environment()}

    def run(self, *arguments: str, quiet: bool = False) -> None:
        """Run a uv command; raises `CalledProcessError` with uv's own words in `stderr` when `quiet`."""
        command = [str(self.program), *arguments]
        subprocess.run(command, check=True, env=self.environment, capture_output=quiet, text=True)

    def follow(self, *arguments: str) -> None:
        """Run a uv command, passing on what it reports except its list of packages; raises `CalledProcessError`."""
        command = [str(self.program), *arguments]
        with subprocess.Popen(command, env=self.environment, stderr=subprocess.PIPE, text=True) as process:
            for line in process.stderr or ():
                if not line.startswith((" + ", " - ", " ~ ")):
                    print(f"        {line}", end="", file=sys.stderr, flush=True)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)

    def succeeds(self, *arguments: str) -> bool:
        """Whether a uv command ends well; its output is dropped."""
        try:
            self.run(*arguments, quiet=True)
        except subprocess.CalledProcessError:
            return False
        return True


def get_uv(sources: PackageSources, root: Path = ROOT) -> Uv:
    """The pinned uv under `.venvs/uv`, installed first where it is missing; raises `SetupError`."""
    home, lock = root / ".venvs" / "uv", root / _LOCK
    program, stamp = home / "bin" / "uv", home / "lock.txt"
    if not program.exists() or not stamp.exists() or stamp.read_text() != lock.read_text():
        with timed("getting uv"):
            _install(home, lock)
        stamp.write_text(lock.read_text())
    return Uv(program, sources)


def _install(home: Path, lock: Path) -> None:
    # --target needs neither ensurepip nor an unmanaged interpreter, which Debian's python3 lacks.
    options = ["--quiet", "--require-hashes", "--no-deps", "--only-binary", ":all:", "--upgrade", "--target", str(home)]
    pip = pip_command()
    if pip is None:
        raise SetupError(f"{sys.executable} has no pip", "install it (Debian, Ubuntu: apt-get install python3-pip)")
    command = [*pip, "install", *options, "-r", str(lock)]
    environment = {**os.environ, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    result = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        remedy = "check the network and pip's index settings (pip config list), then run make setup again"
        raise SetupError(f"pip could not install uv ({last})", remedy)
