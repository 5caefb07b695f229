"""Names of artifacts: `kind/name@version`, or `kind/name@alias`."""

import re
from dataclasses import dataclass

from appo_core.artifacts.errors import StoreError

KINDS = ("dataset", "sft-model", "rl-checkpoint", "model", "rollouts", "eval-report", "check-report", "comparison")
LATEST = "latest"

_NAME = re.compile(r"^[a-z0-9][a-z0-9._-]{0,79}$")
_VERSION = re.compile(r"^v[0-9a-f]{12}$")


@dataclass(frozen=True, order=True)
class ArtifactRef:
    """A reference to one artifact; `version` is a version (`v` + 12 hexadecimal digits) or an alias such as `latest`.

    Raises `StoreError` for a kind that does not exist or a name that cannot be a folder.
    """

    kind: str
    name: str
    version: str = LATEST

    def __post_init__(self) -> None:
        check_kind(self.kind)
        check_name("artifact name", self.name)
        check_name("version or alias", self.version)

    @classmethod
    def parse(cls, text: str) -> "ArtifactRef":
        """The reference in `kind/name`, `kind/name@version` or `kind/name@alias`."""
        path, at, version = text.strip().partition("@")
        kind, slash, name = path.partition("/")
        if not slash or not name or (at and not version):
            raise StoreError(
                f"'{text}' is no artifact reference", remedy="write kind/name@version, such as model/demo@latest"
            )
        return cls(kind, name, version or LATEST)

    @property
    def is_alias(self) -> bool:
        """Whether `version` is an alias, to be resolved by the store."""
        return not is_version(self.version)

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}@{self.version}"


def is_version(text: str) -> bool:
    """Whether the text is a version rather than an alias."""
    return bool(_VERSION.match(text))


def check_kind(kind: str) -> None:
    """Raises `StoreError` unless `kind` is one of `KINDS`."""
    if kind not in KINDS:
        raise StoreError(f"unknown artifact kind '{kind}'", remedy=f"choose from {', '.join(KINDS)}")


def check_name(what: str, name: str) -> None:
    """Raises `StoreError` unless `name` is lower-case letters, digits, dots, dashes and underscores."""
    if not _NAME.match(name):
        raise StoreError(
            f"{what} '{name}' is not allowed",
            remedy="use 1-80 lower-case letters, digits, dots, dashes and underscores, a letter or digit first",
        )
