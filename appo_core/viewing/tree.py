"""The trajectories of one prompt as a tree: initial rollouts, each followed by the branches that left it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from appo_core.viewing.dump_file import DumpRow


@dataclass(frozen=True)
class Node:
    """One trajectory in the tree."""

    row: DumpRow
    label: str
    """`R2` for the second initial rollout, `R2.1` for the first branch along it."""
    parent: int | None
    """Place of the trajectory it left among the prompt's nodes; None for an initial rollout, and for a lost origin."""

    @property
    def start(self) -> int:
        """First response token that is its own."""
        return self.row.prefix.split + 1 if self.row.prefix and self.parent is not None else 0


def build_tree(rows: Sequence[DumpRow]) -> list[Node]:
    """Nodes in drawing order: depth first, the later branch first, so that no line crosses another trajectory.

    Branches are numbered along their origin. One whose origin is not among `rows` stands as a root of its own.
    """
    uids = {row.uid for row in rows}
    children: dict[str, list[DumpRow]] = {}
    roots = []
    for row in rows:
        if row.prefix and row.prefix.origin in uids and row.prefix.origin != row.uid:
            children.setdefault(row.prefix.origin, []).append(row)
        else:
            roots.append(row)
    nodes: list[Node] = []
    for number, row in enumerate(roots, start=1):
        _grow(row, f"R{number}", None, children, nodes)
    return nodes


def _grow(row: DumpRow, label: str, parent: int | None, children: dict[str, list[DumpRow]], nodes: list[Node]) -> None:
    place = len(nodes)
    nodes.append(Node(row, label, parent))
    along = sorted(children.pop(row.uid, []), key=_split)
    for number in range(len(along), 0, -1):
        _grow(along[number - 1], f"{label}.{number}", place, children, nodes)


def _split(row: DumpRow) -> int:
    return row.prefix.split if row.prefix else -1


def by_prompt(rows: Iterable[DumpRow]) -> dict[str, list[DumpRow]]:
    """Rows by prompt, in order of first appearance."""
    groups: dict[str, list[DumpRow]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    return groups
