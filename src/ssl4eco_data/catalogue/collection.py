"""The dataset as a STAC collection. https://github.com/radiantearth/stac-spec/blob/v1.1.0/collection-spec/"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ssl4eco_data.bands import BANDS
from ssl4eco_data.catalogue.citation import Citation
from ssl4eco_data.catalogue.facts import Facts, identifier
from ssl4eco_data.catalogue.items import EXTENSIONS, ITEMS_FILE, STAC_VERSION
from ssl4eco_data.catalogue.sources import COPERNICUS_TERMS

_TERMS = {"rel": "license", "href": COPERNICUS_TERMS, "title": "terms of the imagery"}
PARQUET = "application/vnd.apache.parquet"
ZARR = "application/vnd.zarr; version=3"
_KEYWORDS = ("ecology", "phenology", "Sentinel-2", "pretraining")
_COMMON_NAMES = {"rededge1": "rededge071", "rededge2": "rededge075", "rededge3": "rededge078"}
"""Where a band's name at Earth Search is not its common name in the extension ``eo`` 2.0.0."""


def collection_document(facts: Facts, citation: Citation) -> dict[str, Any]:
    """The content of ``collection.json``."""
    return {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "stac_extensions": [EXTENSIONS["eo"]],
        "id": identifier(facts.title),
        "title": facts.title,
        "description": _description(facts, citation),
        "keywords": [*_KEYWORDS, *(["simulated"] if citation.simulated else [])],
        "license": "other",
        "providers": _providers(citation),
        "extent": {
            "spatial": {"bbox": [list(facts.box)]},
            "temporal": {"interval": [[_time(facts.start), _time(facts.end)]]},
        },
        "summaries": _summaries(facts),
        "assets": _assets(facts),
        "links": [
            *([] if citation.simulated else [_TERMS]),
            {"rel": "items", "href": f"./{ITEMS_FILE}", "type": PARQUET},
            {"rel": "describedby", "href": "./README.md", "type": "text/markdown", "title": "dataset card"},
        ],
    }


def _summaries(facts: Facts) -> dict[str, list[Any]]:
    """Values that occur in the items; a field without any is left out, as the specification wants it."""
    values: dict[str, list[Any]] = {
        "constellation": ["sentinel-2"],
        "platform": list(facts.platforms),
        "instruments": ["msi"],
        "gsd": [10.0],
        "ssl4eco:season": [season for season, n in facts.patches.items() if n],
        "ssl4eco:split": list(facts.places["split"]),
    }
    return {name: value for name, value in values.items() if value}


def _description(facts: Facts, citation: Citation) -> str:
    kind = f"{'simulated ' * citation.simulated}Sentinel-2 patches"
    return (
        f"{facts.n_patches:,} {kind} of {facts.locations:,} locations, {facts.size_m:g} m a side at "
        f"native resolution, in the seasons {', '.join(facts.seasons)}, as sharded Zarr v3. "
        + " ".join(citation.attribution)
    )


def _providers(citation: Citation) -> list[dict[str, Any]]:
    if citation.simulated:
        return []
    return [{"name": "ESA", "roles": ["producer", "licensor"], "url": "https://sentinels.copernicus.eu"}]


def _assets(facts: Facts) -> dict[str, Any]:
    return {
        "patches": {
            "href": "./patches.zarr",
            "type": ZARR,
            "title": "patches, group sentinel2",
            "roles": ["data"],
            "bands": [_band(name) for name in facts.bands],
        },
        "items": {
            "href": f"./{ITEMS_FILE}",
            "type": PARQUET,
            "title": f"{facts.n_patches:,} items, one per patch (stac-geoparquet)",
            "roles": ["collection-mirror"],
        },
        "locations": {
            "href": "./locations.parquet",
            "type": PARQUET,
            "title": "locations (GeoParquet)",
            "roles": ["metadata"],
        },
    }


def _band(name: str) -> dict[str, Any]:
    """A band of STAC 1.1 with the fields of the extension ``eo``; micrometres."""
    band = BANDS[name]
    described: dict[str, Any] = {
        "name": name,
        "description": band.description,
        "gsd": band.pixel_m,
        "data_type": "uint16",
        "nodata": 0,
        "eo:common_name": _COMMON_NAMES.get(band.common_name, band.common_name),
    }
    if band.wavelength_nm and band.width_nm:
        described["eo:center_wavelength"] = round(band.wavelength_nm / 1000, 6)
        described["eo:full_width_half_max"] = round(band.width_nm / 1000, 6)
    return described


def _time(time: datetime | None) -> str | None:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ") if time else None
