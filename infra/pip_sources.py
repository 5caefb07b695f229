"""Where this machine's pip finds packages, as arguments for uv, which does not read pip's configuration."""

import ast
import importlib.util
import shutil
import subprocess
import sys
from dataclasses import dataclass

_SCOPES = (":env:", "install", "global")
"""Where a pip option may be set, strongest first."""


@dataclass(frozen=True)
class PackageSources:
    """pip's package sources. URLs may carry credentials: never print them."""

    index: str = ""
    extra_indexes: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    certificates: str = ""
    no_index: bool = False

    def arguments(self, *, find_links: bool = True) -> list[str]:
        """uv's arguments for these sources.

        Several indexes are searched as pip searches them, for the best match over all: every file's hash is checked,
        so an index cannot slip in another file. `find_links=False` leaves out loose files beside an index: a loose CPU
        build of torch would be preferred to the index's CUDA build.
        """
        arguments = ["--index-strategy", "unsafe-best-match"] if self.extra_indexes else []
        arguments += ["--default-index", self.index] if self.index else []
        arguments += ["--no-index"] if self.no_index else []
        for option, values in (("--index", self.extra_indexes), ("--allow-insecure-host", self.trusted_hosts)):
            arguments += [word for value in values for word in (option, value)]
        if find_links or self.no_index:
            arguments += [word for value in self.find_links for word in ("--find-links", value)]
        return arguments

    def environment(self) -> dict[str, str]:
        """uv's environment: the system's certificates, or those that pip is told to use."""
        certificates = {"SSL_CERT_FILE": self.certificates} if self.certificates else {}
        return {"UV_SYSTEM_CERTS": "1", **certificates}


def parse(listing: str) -> PackageSources:
    """Sources in the output of `pip config list` (lines such as `global.find-links='/wheels'`)."""
    options: dict[tuple[str, str], str] = {}
    for line in listing.splitlines():
        key, _, value = line.partition("=")
        scope, _, option = key.strip().partition(".")
        options[scope, option] = _unquote(value.strip())

    def get(option: str) -> str:
        return next((options[scope, option] for scope in _SCOPES if options.get((scope, option))), "")

    return PackageSources(
        index=get("index-url"),
        extra_indexes=tuple(get("extra-index-url").split()),
        find_links=tuple(get("find-links").split()),
        trusted_hosts=tuple(get("trusted-host").split()),
        certificates=get("cert"),
        no_index=get("no-index").lower() in ("1", "true", "yes", "on"),
    )


def pip_command() -> list[str] | None:
    """The running interpreter's pip, else the one on the path, else None."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    program = shutil.which("pip3") or shutil.which("pip")
    return [program] if program else None


def read() -> PackageSources:
    """Sources that this machine's pip is configured with, in files or by PIP_ variables; none when there is no pip."""
    pip = pip_command()
    if pip is None:
        return PackageSources()
    return parse(subprocess.run([*pip, "config", "list"], capture_output=True, text=True, check=False).stdout)


def _unquote(value: str) -> str:
    """A value as pip prints it, which is as Python's `repr` writes it."""
    try:
        return str(ast.literal_eval(value))
    except (ValueError, SyntaxError):
        return value
