"""How a biome looks: the same colour and shape in every dataset, safe for colour-blind readers.

The style sheet has the colours (``b0`` … ``b14``). Any two of them differ by at least 19 in CIELAB, also for
readers without red or green cones (Machado et al. 2009, https://doi.org/10.1109/TVCG.2009.113).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice

RESOLVE = (
    "Tropical & Subtropical Moist Broadleaf Forests",
    "Tropical & Subtropical Dry Broadleaf Forests",
    "Tropical & Subtropical Coniferous Forests",
    "Temperate Broadleaf & Mixed Forests",
    "Temperate Conifer Forests",
    "Boreal Forests/Taiga",
    "Tropical & Subtropical Grasslands, Savannas & Shrublands",
    "Temperate Grasslands, Savannas & Shrublands",
    "Flooded Grasslands & Savannas",
    "Montane Grasslands & Shrublands",
    "Tundra",
    "Mediterranean Forests, Woodlands & Scrub",
    "Deserts & Xeric Shrublands",
    "Mangroves",
)
"""The biomes of RESOLVE Ecoregions 2017 in the order of their numbers."""
NO_BIOME = ("unknown", "N/A", "Rock and Ice")
GREY = len(RESOLVE)
COLOURS = GREY + 1
TONES = 3
_CIRCLE, _SQUARE, _TRIANGLE = range(3)
_SHAPES = (_CIRCLE,) * 6 + (_SQUARE,) * 4 + (_TRIANGLE,) * 4 + (_CIRCLE,)


def looks_of(biomes: Sequence[str]) -> list[int]:
    """The look of each biome, a number.

    A biome of RESOLVE has its own, places without a biome are grey, and other names take in the order of
    the alphabet what is free; after 42 they repeat.
    """
    own = {name: number for number, name in enumerate(RESOLVE)} | dict.fromkeys(NO_BIOME, GREY)
    taken = {own[name] for name in biomes if name in own}
    free = [n for n in range(COLOURS * TONES) if n not in taken and n % COLOURS != GREY]
    others = sorted(set(biomes) - own.keys())
    given = own | dict(zip(others, islice(cycle(free), len(others)), strict=True))
    return [given[name] for name in biomes]


def colour_class(look: int) -> str:
    """CSS classes of a look that has no shape: its colour and its tone."""
    return f"b{look % COLOURS} t{look // COLOURS % TONES}"


def shape_of(look: int) -> int:
    """Index of the marker's shape: circles for forests, squares for grasslands, triangles for the rest."""
    return (_SHAPES[look % COLOURS] + look // COLOURS) % len(set(_SHAPES))
