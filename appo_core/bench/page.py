"""The GPU's part of docs/performance.md, between two markers; the rest of the page stays as it is."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from appo_core.bench.table import Figure

BEGIN, END = "<!-- gpu-check: begin -->", "<!-- gpu-check: end -->"


def write_section(page: Path, machine: str, sections: Mapping[str, Sequence[Figure]]) -> None:
    """Replace what stands between the markers; raises `ValueError` for a page without them."""
    text = page.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page}: no lines '{BEGIN}' and '{END}'; put them where the GPU's figures belong")
    page.write_text(f"{head}{BEGIN}\n{section_text(machine, sections)}{END}{tail}", encoding="utf-8")


def section_text(machine: str, sections: Mapping[str, Sequence[Figure]]) -> str:
    """The figures as Markdown tables."""
    lines = [f"Measured on: {machine}.", ""]
    for title, figures in sections.items():
        lines += [f"**{title}**", "", "| Figure | Value | Unit | Goal |", "|---|---:|---|---|"]
        lines += [f"| {one.name} | {one.value:,.4g} | {one.unit} | {one.goal} |" for one in figures]
        lines.append("")
    return "\n".join(lines)
