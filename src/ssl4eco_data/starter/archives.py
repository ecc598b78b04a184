"""The archives that have a name, and what the configuration says of them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

_CATALOGUES = (".json", ".geojson", ".ndjson", ".jsonl", ".geojsonl")
_PLANETARY = "https://planetarycomputer.microsoft.com/api/stac/v1"
_EARTH_SEARCH = "https://earth-search.aws.element84.com/v1"
EARTH_ENGINE = "earth-engine"
ARCHIVES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "planetary-computer": {
            "kind": "stac",
            "imagery": _PLANETARY,
            "vegetation": _PLANETARY,
            "sign": "planetary-computer",
        },
        "earth-search": {
            "kind": "stac",
            "imagery": _EARTH_SEARCH,
            "collection": "sentinel-2-c1-l2a",
            "vegetation_pixel_m": 160,
        },
        EARTH_ENGINE: {"kind": "earth_engine"},
    }
)
"""Values of the table ``[archive]`` by name; Earth Engine needs a project besides."""


def named(archive: str) -> Mapping[str, Any] | None:
    """The values of a known archive, by its name or its address; None for a STAC catalogue of another place.

    Raises ``ValueError`` for what is neither a name, nor an http(s) address, nor the path of a catalogue.
    """
    by_address = {v["imagery"]: v for v in ARCHIVES.values() if "imagery" in v}
    known = ARCHIVES.get(archive) or by_address.get(archive.rstrip("/"))
    if known or archive.startswith(("http://", "https://")):
        return known
    if "://" not in archive and (Path(archive).suffix in _CATALOGUES or Path(archive).is_file()):
        return None
    near = difflib.get_close_matches(archive, ARCHIVES, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ValueError(
        f"unknown archive {archive!r}: {hint}It must be {', '.join(ARCHIVES)}, the http(s) address of a STAC "
        f"API, or a catalogue file ({', '.join(_CATALOGUES)})"
    )
