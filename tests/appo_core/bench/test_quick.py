"""Every benchmark runs, in its quick form, and prints every figure; how long things take is not looked at."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from appo_core.environments import ROOT


def sections(module: str, *arguments: str) -> dict[str, dict[str, Any]]:
    """Figures by name, by section."""
    argv = [sys.executable, "-m", f"appo_core.bench.{module}", "--quick", "--json", *arguments]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {one["title"]: {figure["name"]: figure for figure in one["figures"]} for one in lines}


def require_sane(found: dict[str, dict[str, Any]]) -> None:
    for title, figures in found.items():
        assert figures, title
        for name, figure in figures.items():
            assert math.isfinite(figure["value"]), name
            assert figure["value"] >= 0, name
            assert figure["unit"], name


@pytest.mark.slow
def test_rollout() -> None:
    found = sections("rollout")
    require_sane(found)
    lockstep, flowing, full, reuse, weights = found.values()
    assert lockstep.keys() == flowing.keys()
    rates = [lockstep[name]["value"] for name in ("runner", "lock-step loop")]
    assert lockstep["runner / lock-step loop"]["value"] == pytest.approx(rates[0] / rates[1])
    assert full["in flight that fill the engine (0: none did)"]["value"] in (0, 4, 8)
    assert reuse["cached / whole blocks of their prefixes"]["value"] == pytest.approx(1)
    assert weights["larger model"]["value"] > 10 * weights["small model"]["value"]


@pytest.mark.slow
def test_train() -> None:
    found = sections("train")
    require_sane(found)
    packing, scoring, head, checkpointing = found.values()
    assert [name for name in packing if "padded to the longest" in name] == [
        "demo lengths: packed / padded to the longest",
        "long lengths: packed / padded to the longest",
    ]
    assert all(figure["value"] > 0 for part in (packing, scoring, head, checkpointing) for figure in part.values())


def test_figures_of_a_gpu_go_between_the_markers(tmp_path: Path) -> None:
    from appo_core.bench.page import BEGIN, END, write_section
    from appo_core.bench.table import Figure

    page = tmp_path / "performance.md"
    page.write_text(f"# Before\n\n{BEGIN}\nold\n{END}\n\nbehind\n")
    for value in (1.0, 1234.5):
        write_section(page, "Some GPU, PyTorch 2", {"packing": [Figure("packed / padded", value, "x", ">= 1.5")]})
    text = page.read_text()
    assert text.startswith("# Before\n\n" + BEGIN)
    assert text.endswith(END + "\n\nbehind\n")
    assert "| packed / padded | 1,234 | x | >= 1.5 |" in text or "| packed / padded | 1,235 | x | >= 1.5 |" in text
    assert "old" not in text
    assert text.count("Some GPU") == 1
    page.write_text("no markers")
    with pytest.raises(ValueError, match="gpu-check: begin"):
        write_section(page, "", {})


def test_the_shipped_page_has_the_markers() -> None:
    from appo_core.bench.gpu import PAGE
    from appo_core.bench.page import BEGIN, END

    text = PAGE.read_text()
    assert text.index(BEGIN) < text.index(END)
