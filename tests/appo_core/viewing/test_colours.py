"""Scales are even, monotone in lightness, readable, and tell their ends apart for colour-blind readers."""

import math

import pytest

from appo_core.viewing.colours import (
    SCALES,
    STEPS,
    contrast,
    css,
    from_oklab,
    lightness,
    parse,
    steps_of,
    text,
    to_oklab,
)

THEMES = ("light", "dark")
DEFICIENCIES = {
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
"""What is left of linear RGB at full strength (Machado, Oliveira, Fernandes 2009)."""
NOTICEABLE = 0.02
"""Distance in OKLab that neighbouring patches can be told apart by."""


def seen(colour: str, how: str) -> str:
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in parse(colour)]
    mixed = [sum(a * b for a, b in zip(line, linear, strict=True)) for line in DEFICIENCIES[how]]
    clipped = [min(max(value, 0.0), 1.0) for value in mixed]
    gamma = [12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055 for value in clipped]
    return text((gamma[0], gamma[1], gamma[2]))


def distance(one: str, other: str) -> float:
    return math.dist(to_oklab(parse(one)), to_oklab(parse(other)))


@pytest.mark.parametrize("colour", ["#000000", "#ffffff", "#0b66b0", "#c04e00", "#7f7f7f"])
def test_oklab_and_back(colour: str) -> None:
    assert text(from_oklab(to_oklab(parse(colour)))) == colour


def test_known_points_of_oklab() -> None:
    assert to_oklab((1, 1, 1)) == pytest.approx((1, 0, 0), abs=1e-4)
    assert to_oklab((1, 0, 0)) == pytest.approx((0.62796, 0.22486, 0.12585), abs=1e-4)


@pytest.mark.parametrize("theme", THEMES)
def test_a_sequential_scale_goes_one_way_in_lightness(theme: str) -> None:
    found = [lightness(colour) for colour in SCALES[theme]["q"].colours]
    assert len(found) == STEPS
    assert found == sorted(found, reverse=theme == "light")
    assert abs(found[0] - found[-1]) > 0.5


@pytest.mark.parametrize("theme", THEMES)
def test_a_diverging_scale_leaves_its_middle_both_ways(theme: str) -> None:
    found = [lightness(colour) for colour in SCALES[theme]["d"].colours]
    left, right = found[: STEPS // 2 + 1], found[STEPS // 2 :]
    assert left == sorted(left, reverse=theme == "dark")
    assert right == sorted(right, reverse=theme == "light")
    assert found[0] == pytest.approx(found[-1], abs=0.08)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", ["q", "d"])
def test_steps_are_even_and_text_is_readable_on_each(theme: str, name: str) -> None:
    scale = SCALES[theme][name]
    steps = steps_of(scale.colours)
    assert min(steps) > NOTICEABLE
    assert max(steps) < 3 * min(steps)
    assert all(contrast(ink, colour) >= 4.5 for ink, colour in zip(scale.inks, scale.colours, strict=True))


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("how", DEFICIENCIES)
def test_colour_blind_readers_see_order_and_ends(theme: str, how: str) -> None:
    sequential = [lightness(seen(colour, how)) for colour in SCALES[theme]["q"].colours]
    assert sequential == sorted(sequential, reverse=theme == "light")
    ends = [seen(colour, how) for colour in (SCALES[theme]["d"].colours[0], SCALES[theme]["d"].colours[-1])]
    assert distance(*ends) > 5 * NOTICEABLE


def test_the_style_names_every_step_in_both_themes() -> None:
    style = css()
    for step in range(STEPS):
        assert f".q{step}{{" in style
        assert f"--d{step}:{SCALES['dark']['d'].colours[step]}" in style
