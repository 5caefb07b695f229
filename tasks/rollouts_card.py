"""What the page of a `rollouts` artifact shows that no other does: a tree, and where to see the rest."""

from appo_core.artifacts import Manifest, Store
from appo_core.viewing.dump_file import step_files
from appo_core.viewing.produce import OUTLINE, PAGE


def rollouts_section(store: Store, manifest: Manifest) -> str:
    """The most telling prompt of the last step, and where and how to open the page of any step; empty without dumps."""
    paths = {entry.path for entry in manifest.files}
    steps = step_files(paths)
    if manifest.kind != "rollouts" or not steps:
        return ""
    parts = ["## Looking inside", _where(store, manifest) if PAGE in paths else "", _how(manifest, steps)]
    if OUTLINE in paths:
        parts.append(store.read_file(manifest, OUTLINE).decode().rstrip())
    return "\n\n".join(part for part in parts if part)


def _where(store: Store, manifest: Manifest) -> str:
    """Browsers follow no link from a served page to a local file, so such a place is named, not linked."""
    place = f"{store.url.rstrip('/')}/{manifest.kind}/{manifest.name}/data/{manifest.upload}/{PAGE}"
    shown = f"[{place}]({place})" if place.startswith(("http://", "https://")) else f"`{place.removeprefix('file://')}`"
    return f"The last step's rollouts, as a page of their own: {shown}"


def _how(manifest: Manifest, steps: dict[int, str]) -> str:
    known = f"{min(steps)} to {max(steps)}, {len(steps)} in all" if len(steps) > 1 else str(max(steps))
    return (
        f"Any step (there are {known}), on a machine that reaches this store:\n\n"
        f"```sh\nappo rollouts view {manifest.ref} --step {max(steps)} --open\n```"
    )
