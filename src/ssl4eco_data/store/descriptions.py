"""What each small array is, in words and units: its CF attributes by its name.

https://cfconventions.org/Data/cf-conventions/cf-conventions-1.11/cf-conventions.html
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from ssl4eco_data.types import METRICS

_TYPICAL = "day of the typical year, from 1 January of the peak's year"
_SPOKEN = {metric: metric.replace("_", "-") for metric in METRICS}
_KNOWN: Mapping[str, Mapping[str, str]] = {
    "location_id": {"long_name": "name of the location"},
    "lon": {"units": "degrees_east", "standard_name": "longitude", "long_name": "longitude of the location"},
    "lat": {"units": "degrees_north", "standard_name": "latitude", "long_name": "latitude of the location"},
    "epsg": {"long_name": "EPSG code of the patch's UTM zone"},
    "cell_epsg": {"long_name": "EPSG code of the UTM zone of the location's grid cell"},
    "west": {"units": "m", "long_name": "west edge of the patch in its UTM zone"},
    "north": {"units": "m", "long_name": "north edge of the patch in its UTM zone"},
    "size": {"units": "m", "long_name": "side of the patch"},
    "ecoregion": {"long_name": "ecoregion"},
    "biome": {"long_name": "biome"},
    "realm": {"long_name": "realm"},
    "split": {"long_name": "use in training: train, val, test, or buffer (none)"},
    "inclusion_probability": {"units": "1", "long_name": "chance of the location to be in the sample"},
    "weight": {"units": "1", "long_name": "relative frequency of the location in training"},
    "scene_id": {"long_name": "image that the patch was cut from; empty without a patch"},
    "time": {"standard_name": "time", "long_name": "time of the image, UTC"},
    "year": {"long_name": "year of the image's season"},
    "reason": {"long_name": "why the season has no patch; empty when it has one"},
    "days_from_middle": {"units": "d", "long_name": "days of the image from the middle of its season"},
    "clear_fraction": {"units": "1", "long_name": "share of the patch that is clear"},
    "snow_fraction": {"units": "1", "long_name": "share of the patch that is snow or ice"},
    "shadow_fraction": {"units": "1", "long_name": "share of the patch in cloud shadow"},
    "cloud_fraction": {"units": "1", "long_name": "share of the patch in cloud"},
    "missing_fraction": {"units": "1", "long_name": "share of the patch without data"},
    "mean_ndvi": {"units": "1", "long_name": "mean NDVI of the patch's clear pixels"},
    "offset_jump": {"units": "1", "long_name": "digital numbers by which the patch seems to be off"},
    "west_60m": {"units": "m", "long_name": "west edge of the 60 m window in the patch's UTM zone"},
    "north_60m": {"units": "m", "long_name": "north edge of the 60 m window in the patch's UTM zone"},
    "cycle_phase": {"units": "1", "long_name": "phase of the cycle: 0 at a greenup, 1 at the next"},
    "days_since_greenup": {"units": "d", "long_name": "days since the greenup of the image's own cycle"},
    "days_since_greenup_sigma": {"units": "d", "long_name": "uncertainty of days_since_greenup"},
    "phenology_source_id": {"long_name": "location that the dates were taken from"},
    "phenology_source_distance_km": {"units": "km", "long_name": "distance of phenology_source_id"},
    **{metric: {"units": "d", "long_name": f"{name}, {_TYPICAL}"} for metric, name in _SPOKEN.items()},
    **{f"{m}_mad": {"units": "d", "long_name": f"spread of {n} over years"} for m, n in _SPOKEN.items()},
    **{f"{m}_iqr": {"units": "d", "long_name": f"spread of {n} over pixels"} for m, n in _SPOKEN.items()},
}
_UNITS_BY_END = {"_fraction": "1", "_day": "d", "_km": "km", "_deg": "degree"}
_NO_WORD = re.compile(r"[^A-Za-z0-9_.+@-]+")


def described(name: str) -> dict[str, str]:
    """The attributes of the array of this name; of one not known here what its name says."""
    if name in _KNOWN:
        return dict(_KNOWN[name])
    season, _, end = name.removesuffix("_day").rpartition("_")
    if name.endswith(("_start_day", "_end_day")):
        which = "first" if end == "start" else "last"
        return {"units": "d", "long_name": f"{which} day of {season}, {_TYPICAL}"}
    unit = "d" if name.startswith("days_") else _UNITS_BY_END.get(f"_{name.rpartition('_')[2]}")
    return {**({"units": unit} if unit else {}), "long_name": name.replace("_", " ")}


def flags(labels: Sequence[str]) -> dict[str, object]:
    """``flag_values`` and ``flag_meanings`` of codes into these labels (CF, 3.5): one word for each label.

    Other characters than letters of ASCII, digits and ``_ . + @ -`` become ``_``; a word that is there
    already is numbered; the empty label is ``none``.
    """
    words: list[str] = []
    for label in labels:
        plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode()
        word = _NO_WORD.sub("_", plain).strip("_") or ("none" if not label else "label")
        same, number = word, 2
        while word in words:
            word, number = f"{same}_{number}", number + 1
        words.append(word)
    return {"flag_values": list(range(len(labels))), "flag_meanings": " ".join(words)}
