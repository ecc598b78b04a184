"""Biomes look the same in every dataset, and can be told apart without red or green cones."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ssl4eco_data.report.biomes import GREY, RESOLVE, colour_class, looks_of, shape_of

CONES = {
    "all": np.eye(3),
    "no red": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "no green": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
}
XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]


@given(st.lists(st.sampled_from((*RESOLVE, "unknown", "Wet heath", "Dunes", "Alps")), unique=True))
def test_a_biome_keeps_its_look_whatever_else_is_there(names: list[str]) -> None:
    looks = dict(zip(names, looks_of(names), strict=True))
    assert len(set(looks.values())) == len(names)
    for name, look in looks.items():
        if name in RESOLVE:
            assert look == RESOLVE.index(name)
        assert (look == GREY) == (name == "unknown")
    assert dict(zip(names[::-1], looks_of(names[::-1]), strict=True)) == looks, "whatever the order"


def test_forty_two_other_names_differ() -> None:
    looks = looks_of([f"Biome {i}" for i in range(42)])
    assert len({(colour_class(look), shape_of(look)) for look in looks}) == 42


def test_any_two_colours_differ_for_every_reader() -> None:
    style = files("ssl4eco_data.report").joinpath("templates", "style.css").read_text(encoding="utf-8")
    found = dict(re.findall(r"\.b(\d+)\{--b:(#[0-9a-f]{6})\}", style))
    assert len(found) == len(RESOLVE)
    for name, cones in CONES.items():
        seen = [lab(np.clip(np.array(cones) @ linear(found[str(i)]), 0, 1)) for i in range(len(RESOLVE))]
        worst = min(float(np.linalg.norm(a - b)) for a, b in combinations(seen, 2))
        assert worst >= 19, name


def linear(colour: str) -> np.ndarray:
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    white = np.array(XYZ).sum(axis=1)
    ratio = np.array(XYZ) @ rgb / white
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])
