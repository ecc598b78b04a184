"""How the sample was made, in sentences: from the configuration, and from what the stage met on the way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

PACKAGED_LAND = "global-land-mask"
PLURALS = {"ecoregion": "ecoregions", "biome": "biomes", "realm": "realms"}
RULES = {
    "proportional": "in proportion to their area",
    "equal": "in equal parts",
    "sqrt": "in proportion to the square root of their area",
}
NOTES: Mapping[str, tuple[str, str]] = {
    "mended_polygons": (
        "1 polygon of the layers was invalid and was mended",
        "{:,} polygons of the layers were invalid and were mended",
    ),
    "labelled_by_nearest": (
        "1 cell or point outside every polygon took the labels of the nearest one",
        "{:,} cells or points outside every polygon took the labels of the nearest one",
    ),
    "unlabelled": (
        "1 cell or point is too far from every polygon for a label",
        "{:,} cells or points are too far from every polygon for a label",
    ),
    "strata_without_place": (
        "1 stratum has no location: means over the sample leave it out (a minimum of 1 sees to it)",
        "{:,} strata have no location: means over the sample leave them out (a minimum of 1 sees to it)",
    ),
    "dates_outside_imagery": (
        "1 date of the points lies outside the imagery's period and gets no scene",
        "{:,} dates of the points lie outside the imagery's period and get no scene",
    ),
    "dates_missing": (
        "1 date of the points is missing and gets no scene",
        "{:,} dates of the points are missing and get no scene",
    ),
    "duplicates": ("1 point was there twice", "{:,} points were there more than once"),
}


def made(config: Mapping[str, Any], notes: Mapping[str, Any]) -> list[str]:
    """Sentences on source, allocation, labels and splits, and on what was counted on the way.

    Without a configuration (an unfinished build) only what ``notes`` know is said.
    """
    given = config.get("locations", {})
    source = given.get("source", {})
    said = []
    if source.get("kind") == "grid":
        said += [_grid(source), _allocation(given.get("allocation", {}), labelled="strata" in given)]
    elif source.get("kind") == "points":
        said.append(f"All points of {_file(source.get('points', 'a file'))}.")
    elif "land" in notes:
        said.append(f"Land: {_land(notes['land'])}.")
    if "strata" in given:
        said.append(_labels(given))
    if "split" in given:
        said.append(_splits(given["split"]))
    return said + _met(notes.get("counts", {}))


def _grid(source: Mapping[str, Any]) -> str:
    south = float(source.get("min_lat_deg", -90))
    parts = [f"Centres of the Major-TOM grid's {source['spacing_km']:g} km cells"]
    if "region" in source:
        parts.append(f"inside {_file(source['region'])}")
    else:
        parts.append("Antarctica included" if south <= -90 else f"no further south than {_latitude(south)}")
    parts.append(f"on land by {_land(source.get('land', PACKAGED_LAND))}")
    if source.get("water"):
        parts.append(f"not in the water of {_file(source['water'])}")
    return ", ".join(parts) + "."


def _allocation(allocation: Mapping[str, Any], *, labelled: bool) -> str:
    rule, n = allocation.get("rule", "all"), allocation.get("n")
    if rule == "all" or n is None:
        return "Every such cell is taken."
    seed = f"spread evenly over the ground (seed {allocation.get('seed', 0)})"
    if not labelled:
        return f"{n:,} of them are taken, {seed}."
    shared = f"shared over the {PLURALS.get(allocation.get('by', ''), 'strata')} {RULES.get(rule, rule)}"
    limits = [
        f"at {'least' if name == 'minimum' else 'most'} {allocation[name]:,}"
        for name in ("minimum", "cap")
        if allocation.get(name)
    ]
    within = f" ({' and '.join(limits)} each)" if limits else ""
    return f"{n:,} of them are taken, {shared}{within}, within each {seed}."


def _labels(given: Mapping[str, Any]) -> str:
    distance = float(given.get("strata_distance_km", 0))
    nearest = f"; a location in none takes the nearest within {distance:g} km" if distance else ""
    return f"Labels are those of the polygons in {_file(given['strata'])}{nearest}."


def _splits(split: Mapping[str, Any]) -> str:
    shares = [
        f"{100 * float(split[f'{name}_fraction']):.3g} % of the blocks to {name}"
        for name in ("val", "test")
        if split.get(f"{name}_fraction")
    ]
    if not shares:
        return "All locations are for training."
    buffer = float(split.get("buffer_km", 0))
    strip = f"; a strip of {buffer:g} km between two splits is buffer, which neither uses" if buffer else ""
    parts = ", ".join([*shares, "the rest to train"])
    return f"Whole blocks of {split.get('block_km', 0):g} km go to one split, {parts}{strip}."


def _met(counts: Mapping[str, Any]) -> list[str]:
    """What was counted on the way, in words; zeros are left out."""
    return [
        f"{NOTES[name][count != 1].format(count)}."
        if name in NOTES
        else f"{name.replace('_', ' ')}: {count:,}."
        for name, count in counts.items()
        if count
    ]


def _land(land: object) -> str:
    return f"the packaged 1 km mask ({PACKAGED_LAND})" if land == PACKAGED_LAND else _file(land)


def _file(path: object) -> str:
    """A file's name; where it lay is in the configuration."""
    return PurePath(str(path)).name


def _latitude(lat_deg: float) -> str:
    return f"{abs(lat_deg):g}°{'S' if lat_deg < 0 else 'N' if lat_deg > 0 else ''}"
