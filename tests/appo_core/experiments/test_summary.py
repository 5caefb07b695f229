"""The figures of a comparison, its report and its pictures, from metrics made by hand."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appo_core.config.compare import CellRecord, ComparisonSettings
from appo_core.experiments.curves import Curve, grid
from appo_core.experiments.overlap import Overlap
from appo_core.experiments.placement import Placement
from appo_core.experiments.plot import band, plot_curves
from appo_core.experiments.report import figures, report_markdown, table_markdown, table_rows
from appo_core.experiments.summary import Run, Summary, summarize


def run(variant: str, seed: int, values: Sequence[float], tokens: float = 100.0, **more: float) -> Run:
    """A run with a validation behind every step."""
    rows: list[dict[str, Any]] = [{"step": 0, "v": values[0]}]
    for step, value in enumerate(values[1:], 1):
        row = {"step": step, "v": value, "train/score": value, "rollout/generated_tokens": tokens, "seconds/step": 2.0}
        rows.append(row | more)
    return Run(CellRecord(variant=variant, seed=seed), rows, Placement())


def summary(runs: Sequence[Run], budget: int = 200, failed: Sequence[CellRecord] = ()) -> Summary:
    names = list(dict.fromkeys(one.cell.variant for one in runs))
    settings = ComparisonSettings(
        variants={name: {"rl.algorithm.name": name} for name in names},
        cells=tuple(one.cell for one in runs),
        failed=tuple(failed),
        metric="v",
        generated_tokens=budget,
    )
    return summarize(settings, runs)


RUNS = [
    run("appo", 1, [0.2, 0.4, 0.8], **{"branching/signal_share": 0.5, "branching/spread": 0.01}),
    run("appo", 2, [0.2, 0.5, 0.6], **{"branching/signal_share": 0.7, "branching/spread": 0.03}),
    run("grpo", 1, [0.2, 0.3, 0.5]),
    run("grpo", 2, [0.2, 0.3, 0.4]),
    run("grpo", 3, [0.2, 0.3, 0.9]),
]


def test_figures_are_means_over_seeds_and_differences_are_paired_by_seed() -> None:
    appo, grpo = summary(RUNS).variants
    assert appo.final.mean == pytest.approx(0.7)
    assert grpo.final.mean == pytest.approx(0.6)
    assert appo.area.mean == pytest.approx((0.45 + 0.45) / 2)
    assert grpo.final_gain is not None
    # Seed 3 has no partner.
    assert (grpo.final_gain.difference.mean, grpo.final_gain.difference.count) == (pytest.approx(-0.25), 2)
    assert grpo.final_gain.sign_flip == 0.5
    assert grpo.final_holm == pytest.approx(grpo.final_gain.t_test)
    assert appo.final_gain is None
    assert (appo.tokens, appo.seconds, appo.steps) == (200, 4, 2)
    assert appo.signal["branching/signal_share"] == pytest.approx(0.6)
    assert grpo.signal["branching/signal_share"] is None


def test_variants_are_read_at_the_same_number_of_tokens() -> None:
    """A run that overshoots is read where the budget is, not where it ended."""
    over = summary([run("a", 1, [0.0, 0.5, 1.0], tokens=120)])
    assert over.variants[0].final.mean == pytest.approx(0.5 + 0.5 * 80 / 120)
    assert over.notes == ()
    under = summary([run("a", 1, [0.0, 0.5, 1.0], tokens=50)])
    assert under.variants[0].final.mean == 1.0
    assert "Ended by `rl.steps` before the budget" in under.notes[0]
    assert "a (seed 1, 100 tokens)" in under.notes[0]


def test_runs_that_failed_are_named_and_a_variant_without_runs_is_left_out() -> None:
    found = summary(RUNS[:2], failed=[CellRecord(variant="grpo", seed=1)])
    assert [one.name for one in found.variants] == ["appo"]
    assert found.notes == ("Runs that failed and are left out: grpo-s1.",)


def test_the_report_holds_every_table() -> None:
    part = Placement()
    part.points.update(think=3, answer=1)
    part.tokens.update(think=20, answer=60, elsewhere=20)
    part.overlap = Overlap(3, 4, 1, 0.5)
    text = report_markdown(summary([Run(RUNS[0].cell, RUNS[0].rows, part), *RUNS[1:]]))
    assert "# v at 200 generated tokens" in text
    # The second run of APPO has no points: the share is over the runs that branched.
    assert "| appo | 4 | 75.0 / 20.0 | 25.0 / 60.0 | 0.0 / 20.0 |" in text
    assert "| appo | 3 | 4 | 25.0 | 12.5 |" in text
    assert "| appo | 0.6 | 0.02 |  |" in text
    assert "| grpo | `rl.algorithm.name=grpo` |" in text
    assert "| grpo | 200 | 2.0 | 4 |" in text


def test_without_branches_nothing_is_said_about_them() -> None:
    assert "branch points fell" not in report_markdown(summary(RUNS))


def test_the_table_has_every_variant_and_marks_the_sign() -> None:
    found = summary(RUNS)
    lines = table_markdown(found).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["appo", "grpo"]
    assert "-0.250 [" in lines[3]
    rows = table_rows(found)
    assert rows[0]["difference"] == ""
    assert rows[1]["seeds"] == "3"
    assert all(list(row) == list(rows[0]) for row in rows)


def test_figures_are_json_without_nan() -> None:
    content = figures(summary(RUNS[:1]))
    text = json.dumps(content, allow_nan=False)
    assert json.loads(text)["variants"][0]["final"]["low"] is None
    assert content["variants"][0]["cells"][0]["metric_curve"]["values"] == [0.2, 0.4, 0.8]


def test_the_band_is_the_t_interval_at_every_point() -> None:
    curves = [Curve((0, 10), (0.0, 1.0)), Curve((0, 10), (0.0, 3.0))]
    mean_G, low_G, high_G = band(curves, grid(10, 2))
    np.testing.assert_allclose(mean_G, [0, 2])
    # s = sqrt(2), n = 2: 12.7062 x 1.
    np.testing.assert_allclose(high_G - mean_G, [0, 12.7062], atol=1e-4)
    np.testing.assert_allclose(mean_G - low_G, [0, 12.7062], atol=1e-4)
    alone = band(curves[:1], grid(10, 2))
    np.testing.assert_allclose(alone[1], alone[2])


def test_pictures_are_written_also_for_many_variants(tmp_path: Path) -> None:
    many = [run(f"v{index}", seed, [0.1, 0.2, 0.2 + index / 40]) for index in range(17) for seed in (1, 2)]
    plot_curves(summary(many), tmp_path / "curves.png")
    plot_curves(summary(RUNS), tmp_path / "curves.svg")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "curves.svg").read_text()
