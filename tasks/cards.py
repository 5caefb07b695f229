"""What people see of an artifact in the Prefect UI: a keyed page with lineage, settings, metrics and checks.

The open-source server keeps no asset pages, so each publication, a reuse included, writes a version of the page.
"""

import base64
import re
from collections.abc import Mapping
from typing import Any

import yaml
from prefect.artifacts import create_image_artifact, create_markdown_artifact, create_table_artifact

from appo_core.artifacts import Manifest, Store
from appo_core.artifacts.lineage import lineage, render_mermaid
from tasks.rollouts_card import rollouts_section

PLOTS = {"eval-report": "passk.png", "comparison": "curves.png"}
"""The picture of a kind of artifact, shown under its report."""
MAX_PLOT_BYTES = 400_000
MAX_GRAPH_NODES = 60
"""A comparison of many runs has hundreds of ancestors; the UI draws no chart of more than 500 edges."""


def page_key(manifest: Manifest) -> str:
    """Key of an artifact's page; Prefect allows lower-case letters, digits and dashes."""
    return slug(f"{manifest.kind}-{manifest.name}")


def slug(text: str) -> str:
    """Text as a Prefect artifact key."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def page_link(manifest: Manifest) -> str:
    """Where the UI shows an artifact's page."""
    return f"/v2/artifacts/key/{page_key(manifest)}"


def show(store: Store, manifest: Manifest, *, reused: bool) -> None:
    """Write an artifact's page, its table, and its plot if it has one."""
    create_markdown_artifact(
        page(store, manifest, reused=reused),
        key=page_key(manifest),
        description=f"{manifest.ref} ({'reused' if reused else 'published'})",
    )
    create_table_artifact(facts(manifest), key=f"{page_key(manifest)}-table", description=f"Facts of {manifest.ref}")
    plot = plot_uri(store, manifest)
    if plot:
        create_image_artifact(plot, key=f"{page_key(manifest)}-plot", description=f"Figures of {manifest.ref}")


def page(store: Store, manifest: Manifest, *, reused: bool) -> str:
    """The Markdown page of one artifact."""
    state = "Reused: it was published by an earlier run." if reused else "Published by this run."
    parts = [
        f"# {manifest.kind}/{manifest.name}\n\n`{manifest.ref}` · {state}",
        rollouts_section(store, manifest),
        _lineage(store, manifest),
        _table("Facts", [[row["fact"], f"`{row['value']}`"] for row in facts(manifest)]),
        _parents(manifest),
        _table("Metrics", [[name, _figure(value)] for name, value in flat(manifest.metrics).items()]),
        _checks(manifest),
        f"## Settings\n\n```yaml\n{yaml.safe_dump(manifest.producer.settings, sort_keys=False)}```",
        _report(store, manifest),
    ]
    return "\n\n".join(part for part in parts if part)


def facts(manifest: Manifest) -> list[dict[str, Any]]:
    """What identifies an artifact and what made it."""
    producer = manifest.producer
    known = {
        "reference": str(manifest.ref),
        "digest": manifest.digest,
        "stage key": manifest.stage_key,
        "published": manifest.created_at,
        "files": len(manifest.files),
        "bytes": manifest.total_bytes,
        "flow": producer.flow,
        "flow run": producer.flow_run,
        "task": f"{producer.task} version {producer.task_version}",
        "code digest": producer.code_digest,
        "environment digest": producer.environment_digest,
        "licence": manifest.licence,
        "source": manifest.source,
    }
    return [{"fact": name, "value": value} for name, value in known.items() if value]


def flat(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested metrics with dotted names."""
    found: dict[str, Any] = {}
    for name, value in metrics.items():
        found.update(flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value})
    return found


def plot_uri(store: Store, manifest: Manifest) -> str | None:
    """An artifact's plot as a data URI, so that the page needs no other server; None without one."""
    path = PLOTS.get(manifest.kind, "")
    entry = next((entry for entry in manifest.files if entry.path == path), None)
    if entry is None or entry.bytes > MAX_PLOT_BYTES:
        return None
    return f"data:image/png;base64,{base64.b64encode(store.read_file(manifest, path)).decode()}"


def _lineage(store: Store, manifest: Manifest) -> str:
    """The graph, unless it is too large to be drawn or read; the parents' table has the links then."""
    node = lineage(store, manifest.ref)
    count = sum(1 for _ in node.walk())
    if count > MAX_GRAPH_NODES:
        return f"## Lineage\n\n{count} artifacts: `appo lineage {manifest.ref}` lists them."
    return f"## Lineage\n\n```mermaid\n{render_mermaid(node, page_link)}\n```"


def _parents(manifest: Manifest) -> str:
    rows = [
        [parent.role, f"[{parent.ref}](/v2/artifacts/key/{slug(f'{parent.kind}-{parent.name}')})", f"`{parent.digest}`"]
        for parent in manifest.parents
    ]
    return _table("Parents", rows, ("role", "artifact", "digest"))


def _checks(manifest: Manifest) -> str:
    rows = [
        [name, "passed" if report.get("success") else "FAILED", str(report.get("rows", ""))]
        for name, report in manifest.checks.items()
        if isinstance(report, Mapping)
    ]
    return _table("Checks", rows, ("suite", "outcome", "rows"))


def _report(store: Store, manifest: Manifest) -> str:
    """The artifact's own report, where it has one."""
    if manifest.kind not in PLOTS or not any(entry.path == "report.md" for entry in manifest.files):
        return ""
    plot = plot_uri(store, manifest)
    text = store.read_file(manifest, "report.md").decode()
    if f"]({PLOTS[manifest.kind]})" in text:  # the report says where the picture stands
        return f"## Report\n\n{text.replace(PLOTS[manifest.kind], plot or '')}"
    return f"## Report\n\n{text}" + (f"\n\n![pass@k]({plot})" if plot else "")


def _table(title: str, rows: list[list[str]], head: tuple[str, ...] = ("name", "value")) -> str:
    if not rows:
        return ""
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return f"## {title}\n\n" + "\n".join(lines)


def _figure(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
