"""Lineage: the graph of manifests from an artifact down to the datasets it grew from."""

import html
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from appo_core.artifacts.manifest import Manifest, ParentRef
from appo_core.artifacts.refs import ArtifactRef
from appo_core.artifacts.store import Store

Link = Callable[[Manifest], str]
KEY_METRICS = 3
"""Metrics shown beside an artifact."""


@dataclass(frozen=True)
class Edge:
    """A parent, and the role it played."""

    role: str
    node: "LineageNode"


@dataclass(frozen=True)
class LineageNode:
    """One artifact and its parents; artifacts used twice are the same object. `manifest` is None when it is gone."""

    ref: ArtifactRef
    digest: str
    manifest: Manifest | None
    parents: tuple[Edge, ...] = ()

    def walk(self) -> Iterator["LineageNode"]:
        """This node and all its ancestors, each once, children before parents."""
        seen: set[ArtifactRef] = set()
        waiting = [self]
        while waiting:
            node = waiting.pop(0)
            if node.ref not in seen:
                seen.add(node.ref)
                yield node
                waiting.extend(edge.node for edge in node.parents)


def lineage(store: Store, ref: ArtifactRef | str) -> LineageNode:
    """The graph below an artifact; parents that are not in the store any more are marked, not left out.

    Raises `ArtifactNotFound` when the artifact itself is missing.
    """
    return _node(store, store.find(ref), {})


def _node(store: Store, manifest: Manifest, known: dict[ArtifactRef, LineageNode]) -> LineageNode:
    if manifest.ref not in known:
        edges = tuple(Edge(parent.role, _parent(store, parent, known)) for parent in manifest.parents)
        known[manifest.ref] = LineageNode(manifest.ref, manifest.digest, manifest, edges)
    return known[manifest.ref]


def _parent(store: Store, parent: ParentRef, known: dict[ArtifactRef, LineageNode]) -> LineageNode:
    if parent.ref in known:
        return known[parent.ref]
    manifest = store.read_manifest(parent.ref)
    if manifest is None or manifest.digest != parent.digest:
        return known.setdefault(parent.ref, LineageNode(parent.ref, parent.digest, None))
    return _node(store, manifest, known)


def render_text(node: LineageNode) -> str:
    """The graph as a tree of lines; an artifact used a second time is named, not unfolded again."""
    return "\n".join(_lines(node, "", set()))


def _lines(node: LineageNode, role: str, seen: set[ArtifactRef]) -> Iterator[str]:
    label = f"{role}: {describe(node)}" if role else describe(node)
    if node.ref in seen:
        yield f"{label} (shown above)"
        return
    seen.add(node.ref)
    yield label
    for number, edge in enumerate(node.parents, start=1):
        last = number == len(node.parents)
        head, *tail = _lines(edge.node, edge.role, seen)
        yield ("└── " if last else "├── ") + head
        yield from (("    " if last else "│   ") + line for line in tail)


def describe(node: LineageNode) -> str:
    """One line about an artifact: reference, digest, time, its first metrics."""
    if node.manifest is None:
        return f"{node.ref}  {node.digest[:12]}  MISSING"
    return "  ".join(
        [str(node.ref), node.digest[:12], node.manifest.created_at[:19] + "Z", *key_metrics(node.manifest)]
    )


def key_metrics(manifest: Manifest) -> Sequence[str]:
    """The first scalar metrics of an artifact as `name=value`."""
    scalars = [(key, value) for key, value in manifest.metrics.items() if isinstance(value, int | float | str)]
    return [
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in scalars[:KEY_METRICS]
    ]


def render_mermaid(node: LineageNode, link: Link | None = None) -> str:
    """The graph as a Mermaid flow chart, parents on the left; `link` gives the page a node leads to."""
    ids = {one.ref: f"n{number}" for number, one in enumerate(node.walk())}
    lines = ["flowchart LR", *(f"  {ids[one.ref]}{_box(one)}" for one in node.walk())]
    for child in node.walk():
        lines += [f"  {ids[edge.node.ref]} -->|{_safe(edge.role)}| {ids[child.ref]}" for edge in child.parents]
    lines += _styles(node, ids)
    if link:
        links = [(ids[one.ref], link(one.manifest)) for one in node.walk() if one.manifest]
        lines += [f'  click {name} href "{html.escape(target)}"' for name, target in links if target]
    return "\n".join(lines)


def _box(node: LineageNode) -> str:
    rows = [f"{node.ref.kind}/{node.ref.name}", f"{node.ref.version} · {node.digest[:8]}"]
    rows += key_metrics(node.manifest) if node.manifest else ["missing"]
    return f'["{"<br/>".join(map(_safe, rows))}"]'


def _styles(node: LineageNode, ids: dict[ArtifactRef, str]) -> list[str]:
    missing = [ids[one.ref] for one in node.walk() if one.manifest is None]
    styles = [f"  style {ids[node.ref]} stroke-width:3px"]
    return [*styles, *(f"  style {name} stroke:#c00,stroke-dasharray:4" for name in missing)]


def _safe(text: str) -> str:
    """Text that cannot end a Mermaid label: quotes, brackets and the like become numeric entities."""
    return re.sub(r'["#<>|\[\](){};`&\n]', lambda match: f"#{ord(match[0])};", text)


def to_json(node: LineageNode) -> dict[str, Any]:
    """The graph as plain JSON: {root, nodes: [...], edges: [{child, parent, role}]}."""
    return {
        "root": str(node.ref),
        "nodes": [_node_json(one) for one in node.walk()],
        "edges": [
            {"child": str(child.ref), "parent": str(edge.node.ref), "role": edge.role}
            for child in node.walk()
            for edge in child.parents
        ],
    }


def _node_json(node: LineageNode) -> dict[str, Any]:
    known = node.manifest.model_dump(mode="json", exclude={"owner", "files"}) if node.manifest else {}
    return {"ref": str(node.ref), "digest": node.digest, "missing": node.manifest is None, **known}
