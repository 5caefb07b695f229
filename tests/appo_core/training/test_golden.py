"""Training computes what it computed before.

Bits are the same on one machine only: kernels for other vector units sum in another order. Forced onto the oldest
ones (SSE), the figures of this run moved by less than a tenth of the tolerance. Counts and rewards are exact, as no
draw lies that close to a token's border.
"""

import json
from pathlib import Path

import pytest

from tests.appo_core.training.golden import FILE, figures

RELATIVE, ABSOLUTE = 2e-5, 1e-6


def test_losses_are_the_golden_ones(tmp_path: Path) -> None:
    wanted = json.loads(FILE.read_text())
    found = figures(tmp_path)
    assert len(found) == len(wanted)
    for step, (row, golden) in enumerate(zip(found, wanted, strict=True), 1):
        assert row == pytest.approx(golden, rel=RELATIVE, abs=ABSOLUTE), f"step {step}; see tests/.../golden.py"
