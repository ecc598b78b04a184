"""Properties of the pieces of the page: choosing what to show, windows over the year, views, colours."""

from __future__ import annotations

import base64
import io
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup
from PIL import Image

from ssl4eco_data.report.charts import wrapped
from ssl4eco_data.report.images import INFRARED, TRUE_COLOUR, composite, webp
from ssl4eco_data.report.maps import land_mask, view_of
from ssl4eco_data.report.select import fair, spread
from ssl4eco_data.report.svg import element
from ssl4eco_data.types import YEAR_DAYS

BANDS = ("B02", "B03", "B04", "B08")


@given(st.integers(0, 500), st.integers(1, 100))
def test_spread_is_ordered_bounded_and_even(count: int, at_most: int) -> None:
    chosen = spread(count, at_most)
    assert len(chosen) == min(count, at_most)
    assert chosen == sorted(set(chosen))
    assert all(0 <= i < count for i in chosen)
    gaps = {b - a for a, b in pairwise(chosen)}
    assert len(gaps) <= 2


@given(st.lists(st.sampled_from("abcde"), max_size=120), st.integers(1, 40))
def test_fair_leaves_no_group_out_and_wastes_no_place(groups: list[str], at_most: int) -> None:
    chosen = fair(groups, at_most)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(len(groups), at_most)
    shown = {g: sum(groups[i] == g for i in chosen) for g in set(groups)}
    if at_most >= len(shown):
        assert all(shown.values())
    full = [g for g in shown if shown[g] == groups.count(g)]
    partly = [shown[g] for g in shown if g not in full]
    assert not partly or max(partly) - min(partly) <= 1


@given(st.floats(-400, 800), st.floats(0, YEAR_DAYS))
def test_wrapped_windows_keep_their_length_inside_the_year(start: float, length: float) -> None:
    pieces = list(wrapped(start, start + length))
    assert all(0 <= a <= b <= YEAR_DAYS for a, b in pieces)
    assert abs(sum(b - a for a, b in pieces) - length) < 1e-6


def test_a_window_without_dates_has_no_pieces() -> None:
    assert list(wrapped(np.nan, 3.0)) == []
    assert list(wrapped(3.0, None)) == []


@given(st.lists(st.tuples(st.floats(-180, 180), st.floats(-90, 90)), min_size=1, max_size=5))
def test_view_holds_every_location_and_stays_in_the_world(points: list[tuple[float, float]]) -> None:
    view = view_of([p[0] for p in points], [p[1] for p in points])
    assert -180 <= view.west_deg < view.east_deg <= 180
    assert -90 <= view.south_deg < view.north_deg <= 90
    assert all(
        view.west_deg <= x <= view.east_deg and view.south_deg <= y <= view.north_deg for x, y in points
    )
    assert view.width_deg >= 2 * view.height_deg or view.width_deg == 360


def test_land_is_where_it_is() -> None:
    mask = land_mask(view_of([0.0, 30.0], [50.0, 65.0]))
    view = view_of([0.0, 30.0], [50.0, 65.0])

    def at(lon: float, lat: float) -> bool:
        row = int((view.north_deg - lat) / view.height_deg * mask.shape[0])
        column = int((lon - view.west_deg) / view.width_deg * mask.shape[1])
        return bool(mask[row, column])

    assert at(10.5, 51.5), "Germany"
    assert at(15.0, 60.0), "Sweden"
    assert not at(3.0, 56.0), "North Sea"
    assert not at(0.0, 67.0), "Norwegian Sea"


@settings(max_examples=30)
@given(st.integers(0, 65535), st.integers(1, 8))
def test_composite_marks_no_data_and_grows_with_reflectance(value: int, side: int) -> None:
    patch = np.full((4, side, side), value, dtype=np.uint16)
    patch[2, 0, 0] = 0
    for recipe in (TRUE_COLOUR, INFRARED):
        rgba = composite(patch, BANDS, recipe)
        assert rgba.shape == (side, side, 4)
        assert rgba[0, 0, 3] == 0
        brighter = composite(np.minimum(patch + np.uint16(100), 65535).astype(np.uint16), BANDS, recipe)
        if value <= 65000:
            assert (brighter[..., :3] >= rgba[..., :3]).all()


def test_bands_go_to_their_colours() -> None:
    patch = np.full((4, 2, 2), 1, dtype=np.uint16)
    patch[2] = 2500
    assert (composite(patch, BANDS, TRUE_COLOUR)[0, 0] == [255, 1, 1, 255]).all()
    patch[3] = 5000
    assert (composite(patch, BANDS, INFRARED)[0, 0] == [255, 255, 1, 255]).all()


def test_thumbnail_is_small_and_decodes() -> None:
    rgba = np.full((256, 256, 4), 200, dtype=np.uint8)
    kind, _, data = webp(rgba, 128).partition(",")
    assert kind == "data:image/webp;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (128, 128)


@given(st.text(alphabet="<>&\"'ab ", max_size=20))
def test_elements_escape_text_and_attributes(text: str) -> None:
    made = element("text", text, title=text)
    assert made.striptags() == " ".join(text.split()) or "<" in text
    assert str(made).count("<") == 2
    assert str(made).count('"') == 2
    assert element("g", Markup("<b>x</b>")) == "<g><b>x</b></g>"
