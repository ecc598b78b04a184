"""How well each stratum is covered for its area: a drawing of locations taken against cells there are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from ssl4eco_data.report.sample import Stratum
from ssl4eco_data.report.svg import Scale, element, figure, line, number, text

WIDTH, HEIGHT = 640.0, 340.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 628.0, 14.0, 280.0
NONE = 302.0
"""Where strata without a location stand, below the axis."""


def area_chart(strata: Sequence[Stratum], cell_km: float | None) -> Markup | None:
    """A dot for each stratum, both axes logarithmic; ``None`` where fewer than two have cells.

    The line is a sample in proportion to area. With the grid's spacing the area is in km², else in cells.
    """
    shown = [s for s in strata if s.available > 0]
    if len(shown) < 2:
        return None
    unit, per_cell = ("km²", cell_km**2) if cell_km else ("cells or points", 1.0)
    areas, most = [s.available * per_cell for s in shown], max(s.got for s in shown)
    low, high = np.floor(np.log10(min(areas))), np.ceil(np.log10(max(areas)) + 1e-9)
    x = Scale(domain=(float(low), float(high)), range=(LEFT, RIGHT))
    y = Scale(domain=(-0.1, max(float(np.ceil(np.log10(max(most, 2)))), 1.0)), range=(BOTTOM, TOP))
    parts = _axes(x, y, unit) + _proportion(sum(s.got for s in shown) / sum(areas), x, y)
    for s, area in zip(shown, areas, strict=True):
        at = y(np.log10(s.got)) if s.got else NONE
        title = element("title", f"{s.name}: {s.got:,} locations, {area:,.0f} {unit}, {s.taken} of its cells")
        class_ = "stratum lacking" if s.lacking or not s.got else "stratum"
        parts.append(element("circle", title, cx=x(np.log10(area)), cy=at, r=3.6, class_=class_))
    without = sum(not s.got for s in shown)
    label = f"Locations against area of {len(shown)} strata, {without} of them without a location"
    return figure(WIDTH, HEIGHT, label, parts)


def _axes(x: Scale, y: Scale, unit: str) -> list[Markup]:
    parts: list[Markup] = []
    for power in range(int(x.domain[0]), int(x.domain[1]) + 1):
        parts.append(line(x(power), TOP, x(power), BOTTOM, "grid"))
        anchor = "end" if power == x.domain[1] else "middle"
        parts.append(text(x(power), HEIGHT - 20, f"{10**power:,}", anchor, "faint"))
    for power in range(int(y.domain[1]) + 1):
        parts.append(line(LEFT, y(power), RIGHT, y(power), "grid"))
        parts.append(text(LEFT - 6, y(power) + 4, f"{10**power:,}", "end"))
    parts.append(text(LEFT - 6, NONE + 4, "none", "end"))
    parts.append(text((LEFT + RIGHT) / 2, HEIGHT - 4, f"area of the stratum on land, {unit}", "middle"))
    parts.append(text(LEFT + 6, TOP + 10, "locations"))
    return parts


def _proportion(per_area: float, x: Scale, y: Scale) -> list[Markup]:
    """Where every stratum has the same number of locations per area, inside the axes."""
    if not per_area:
        return []
    shift = float(np.log10(per_area))
    start, end = max(x.domain[0], y.domain[0] - shift), min(x.domain[1], y.domain[1] - shift)
    if start >= end:
        return []
    path = f"M{number(x(start))} {number(y(start + shift))}L{number(x(end))} {number(y(end + shift))}"
    return [element("path", d=path, class_="proportion")]
