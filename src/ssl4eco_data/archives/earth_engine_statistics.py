"""What scenes show inside a patch, counted on Earth Engine's servers: the graph, and its answer read.

All scenes are bands of one stack, so that a request makes three aggregations however many scenes it has.
Every reduction is on the patch's own pixels (its zone's coordinates and its corner), which are pixels of
every tile of the zone. Reducers are unweighted: a pixel counts once when its centre lies in the patch.
Counts of integers are exact, so the statistics equal those of the pixels themselves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ssl4eco_data.bands import SCL_CLEAR, SCL_SNOW
from ssl4eco_data.errors import ArchiveError
from ssl4eco_data.patches import NO_BLUE, NO_HAZE, bright_end, class_fractions, middle
from ssl4eco_data.types import FloatArray, Footprint, PatchGrid, PatchStats

SCORE_BAND = "cs_cdf"
CLEAR_SCORE = 0.60
"""The threshold in the example of the dataset's page, which calls 0.50 to 0.65 generally good (Earth Engine
Data Catalog, GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED).
"""
_MASK_PIXEL_M, _COLOUR_PIXEL_M = 20, 10
_MAX_PIXELS = 10**9
"""More than any patch has; the default would refuse a large one, and ``bestEffort`` would coarsen it."""
_SLACK = 1e-9
"""The service may round a share otherwise; the limit itself is applied to the answer."""
Answer = Mapping[str, Any]


def counted(
    ee: Any, images: Any, scores: Any | None, footprint: Footprint, min_usable_fraction: float
) -> Any:
    """The ``ee.Dictionary`` of statistics of every image of the collection ``images`` inside the patch.

    ``usable`` maps ``<index>_usable`` to the share of clear and snow; ``classes`` maps ``<index>_SCL`` to a
    histogram of the 20 m classes; ``colours`` maps ``<index>_blue``, ``<index>_haze`` (twice blue less red)
    and, with ``scores``, ``<index>_score`` (1: clear) to histograms at 10 m. Blue and haze of patches less
    usable than ``min_usable_fraction`` are masked, and have empty histograms.
    """
    layers = images.map(lambda image: _prepared(ee, image, scores))

    def stack(name: str) -> Any:
        return layers.select([name]).toBands()

    def reduced(image: Any, reducer: Any, pixel_m: int) -> Any:
        return image.reduceRegion(reducer=reducer, **_pixels_of(ee, footprint, pixel_m))

    table = ee.Reducer.frequencyHistogram().unweighted()
    usable = stack("usable")
    shares = reduced(usable, ee.Reducer.mean().unweighted(), _MASK_PIXEL_M)
    clear = ee.Dictionary(shares).toImage(usable.bandNames()).gte(min_usable_fraction - _SLACK)
    colours = [stack(name).updateMask(clear) for name in ("blue", "haze")]
    if scores is not None:
        colours.append(stack("score"))
    return ee.Dictionary(
        {
            "usable": shares,
            "classes": reduced(stack("SCL"), table, _MASK_PIXEL_M),
            "colours": reduced(ee.Image.cat(*colours), table, _COLOUR_PIXEL_M),
        }
    )


def _prepared(ee: Any, image: Any, scores: Any | None) -> Any:
    """An image with the bands that are counted; bands are added to it, which keeps its name."""
    scl, blue, red = image.select(["SCL"]), image.select(["B2"]), image.select(["B4"])
    usable = _recoded(scl, (*SCL_CLEAR, *SCL_SNOW), 1, 0).unmask(0, False)
    # The product of two bands has the type of its wider operand, which twice a uint16 would overflow.
    haze = blue.toInt32().multiply(2).subtract(red.toInt32())
    seen = blue.updateMask(blue.gt(0))
    found = [
        usable.rename(["usable"]),
        seen.updateMask(_recoded(scl, NO_BLUE, 0, 1)).rename(["blue"]),
        haze.updateMask(blue.gt(0))
        .updateMask(red.gt(0))
        .updateMask(_recoded(scl, NO_HAZE, 0, 1))
        .rename(["haze"]),
    ]
    if scores is not None:
        linked = image.linkCollection(scores, [SCORE_BAND])
        found.append(linked.select([SCORE_BAND]).gte(CLEAR_SCORE).rename(["score"]))
    return image.addBands(ee.Image.cat(*found))


def _recoded(scl: Any, classes: Sequence[int], inside: int, outside: int) -> Any:
    return scl.remap(list(classes), [inside] * len(classes), outside)


def _pixels_of(ee: Any, footprint: Footprint, pixel_m: int) -> dict[str, Any]:
    """The arguments of a reduction over exactly the pixels of the patch."""
    grid: PatchGrid = footprint.grid(pixel_m)
    crs = f"EPSG:{footprint.epsg}"
    return {
        "geometry": ee.Geometry.Rectangle(list(grid.bounds_m), proj=crs, geodesic=False),
        "crs": crs,
        "crsTransform": list(grid.transform),
        "maxPixels": _MAX_PIXELS,
    }


def stats_in(answer: Answer, scene_id: str, footprint: Footprint, min_usable_fraction: float) -> PatchStats:
    """The statistics of one scene from what the service computed of :func:`counted`.

    Raises ArchiveError (permanent) when the answer has no such scene: the collection does not have it.
    """
    if f"{scene_id}_usable" not in answer["usable"]:
        raise ArchiveError(f"Earth Engine image {scene_id} not found in its collection", transient=False)
    classes = _histogram(answer["classes"], f"{scene_id}_SCL")
    size = footprint.grid(_MASK_PIXEL_M).size_px ** 2
    shares = class_fractions({int(value): count for value, count in classes.items()}, size)
    measured = shares.clear + shares.snow >= min_usable_fraction
    blue, haze, score = (
        _histogram(answer["colours"], f"{scene_id}_{name}") for name in ("blue", "haze", "score")
    )
    return PatchStats(
        scene_id=scene_id,
        clear_fraction=shares.clear,
        snow_fraction=shares.snow,
        shadow_fraction=shares.shadow,
        cloud_fraction=shares.cloud,
        missing_fraction=shares.missing,
        blue_q95=bright_end(_values(blue)) if measured else math.nan,
        haze_q50=middle(_values(haze) / 2) if measured else math.nan,
        score_clear_fraction=score.get(1.0, 0) / footprint.grid(_COLOUR_PIXEL_M).size_px ** 2
        if score
        else math.nan,
    )


def _histogram(table: Answer, name: str) -> dict[float, int]:
    """Counts by value; empty where the service found no pixel, which it writes as null, nothing or {}.

    Keys of JSON are strings; counts come as floats.
    """
    return {float(value): round(count) for value, count in (table.get(name) or {}).items()}


def _values(histogram: Mapping[float, int]) -> FloatArray:
    """Every value as often as it was counted."""
    return np.repeat(np.array(list(histogram), np.float64), list(histogram.values()))
