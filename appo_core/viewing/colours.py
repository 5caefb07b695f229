"""Colour scales with even steps to the eye, in a light and a dark form, as CSS variables.

Stops are mixed in OKLab (B. Ottosson, "A perceptual color space for image processing", 2020), where equal distances
look equal. Lightness rises or falls all along a sequential scale, and from the middle to both ends of a diverging one,
so neither depends on telling hues apart; orange and blue, the ends of the diverging scale, stay apart in every common
form of colour blindness. Each colour comes with the text colour that reads best on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

STEPS = 17
"""Colours per scale; odd, so that a diverging scale has a middle."""
Rgb = tuple[float, float, float]

SEQUENTIAL_LIGHT = ("#fffaf0", "#fde3a7", "#f9b27c", "#ea7382", "#b8479a", "#6f2f92", "#3a1d6e")
SEQUENTIAL_DARK = ("#1b1e25", "#3a2663", "#742e92", "#b0458f", "#e0697a", "#f5a673", "#fde6a8")
DIVERGING_LIGHT = ("#b04a00", "#e8924f", "#f8cfa8", "#fbfaf8", "#b5d4ee", "#5b9fd6", "#0b5a9c")
DIVERGING_DARK = ("#ffb27a", "#cf7430", "#74431f", "#1b1e25", "#214a6e", "#3c87c4", "#9ad0ff")


@dataclass(frozen=True)
class Scale:
    """A scale's colours and the text colour on each, as #rrggbb."""

    colours: tuple[str, ...]
    inks: tuple[str, ...]


def scale(stops: Sequence[str], steps: int = STEPS) -> Scale:
    """`steps` colours along `stops`, evenly spaced in OKLab between neighbours."""
    labs = [to_oklab(parse(stop)) for stop in stops]
    mixed = [_along(labs, step / (steps - 1)) for step in range(steps)]
    colours = tuple(text(from_oklab(lab)) for lab in mixed)
    return Scale(colours, tuple(ink(colour) for colour in colours))


def _along(labs: Sequence[Rgb], place: float) -> Rgb:
    spot = place * (len(labs) - 1)
    left = min(int(spot), len(labs) - 2)
    share = spot - left
    low, high = labs[left], labs[left + 1]
    return tuple(a + (b - a) * share for a, b in zip(low, high, strict=True))  # type: ignore[return-value]


def ink(colour: str) -> str:
    """Black or white, whichever has the greater contrast (WCAG 2) on `colour`: at least 4.58 for one of them."""
    return max(("#000000", "#ffffff"), key=lambda one: contrast(one, colour))


def contrast(one: str, other: str) -> float:
    """WCAG 2 contrast ratio, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    """Relative luminance of sRGB, 0 to 1."""
    red, green, blue = (_linear(value) for value in parse(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def lightness(colour: str) -> float:
    """OKLab's L, 0 to 1."""
    return to_oklab(parse(colour))[0]


def parse(colour: str) -> Rgb:
    """#rrggbb as numbers from 0 to 1."""
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return red, green, blue


def text(rgb: Rgb) -> str:
    """Numbers from 0 to 1 as #rrggbb; what lies outside is clipped."""
    return "#" + "".join(f"{round(255 * min(max(value, 0.0), 1.0)):02x}" for value in rgb)


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _gamma(value: float) -> float:
    return 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055


def to_oklab(rgb: Rgb) -> Rgb:
    """sRGB to OKLab."""
    r, g, b = (_linear(value) for value in rgb)
    long = (0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b) ** (1 / 3)
    middle = (0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b) ** (1 / 3)
    short = (0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
    )


def from_oklab(lab: Rgb) -> Rgb:
    """OKLab to sRGB; may leave 0..1."""
    lightness_, a, b = lab
    long = (lightness_ + 0.3963377774 * a + 0.2158037573 * b) ** 3
    middle = (lightness_ - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness_ - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short,
    )
    red, green, blue = (_gamma(max(value, 0.0)) for value in linear)
    return red, green, blue


SCALES = {
    "light": {"q": scale(SEQUENTIAL_LIGHT), "d": scale(DIVERGING_LIGHT)},
    "dark": {"q": scale(SEQUENTIAL_DARK), "d": scale(DIVERGING_DARK)},
}


def steps_of(colours: Sequence[str]) -> list[float]:
    """OKLab distances between neighbours."""
    labs = [to_oklab(parse(colour)) for colour in colours]
    return [sum((a - b) ** 2 for a, b in zip(*pair, strict=True)) ** 0.5 for pair in pairwise(labs)]


def css() -> str:
    """The scales as CSS: variables per theme, and classes `.q0`, `.d0`, ... that use them."""
    light, dark = _variables("light"), _variables("dark")
    rules = [
        f":root{{{light}}}",
        f"@media(prefers-color-scheme:dark){{:root:not([data-theme=light]){{{dark}}}}}",
        f":root[data-theme=dark]{{{dark}}}",
    ]
    for name in ("q", "d"):
        rules += [f".{name}{step}{{--c:var(--{name}{step});--i:var(--{name}{step}i)}}" for step in range(STEPS)]
    return "\n".join(rules)


def _variables(theme: str) -> str:
    parts = []
    for name, one in SCALES[theme].items():
        pairs = zip(one.colours, one.inks, strict=True)
        parts += [f"--{name}{step}:{colour};--{name}{step}i:{ink_}" for step, (colour, ink_) in enumerate(pairs)]
    return ";".join(parts)
