"""What a dataset was made from, read from its configuration: each source with its licence and its due."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from ssl4eco_data.catalogue import references
from ssl4eco_data.catalogue.references import Reference
from ssl4eco_data.store.schema import ATTRIBUTION, LICENSE, SIMULATED_ATTRIBUTION

COPERNICUS_TERMS = LICENSE
NASA_TERMS = "https://www.earthdata.nasa.gov/engage/open-data-services-software-policies/data-use-guidance"
CC_BY = "https://creativecommons.org/licenses/by/4.0/"
SIMULATE = "simulate"
"""The section of a configuration that makes its own archive."""
_PRODUCT = re.compile(r"(?<![A-Z0-9])(M[OYC]D\d{2}[A-Z]\d)(?![A-Z0-9])")
_STAC_MODIS = re.compile(r"modis-(\d{2}[A-Z]\d)-(\d{3})", re.IGNORECASE)
_COLLECTION = re.compile(r"(?<!\d)(\d{3})(?!\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Something that a dataset rests on, the ``attribution`` that must be shown with it, and its works."""

    name: str
    used_for: str
    attribution: str
    license: str = ""
    references: tuple[Reference, ...] = ()


def sources_of(config: Mapping[str, Any], years: Sequence[int]) -> list[Source]:
    """The sources of a dataset by its resolved configuration (``config.toml``), in a fixed order.

    ``years`` are those of its imagery. Without a configuration only the imagery is known. With the embedded
    archive all data are simulated, and nothing is due to anyone.
    """
    if SIMULATE in config:
        text = f"{SIMULATED_ATTRIBUTION}."
        return [Source(name="the embedded simulated archive", used_for="imagery, dates", attribution=text)]
    archive = config.get("archive", {})
    return [
        _imagery(archive, years),
        *_vegetation(archive, config.get("phenology", {}).get("source", "series")),
        *_services(archive),
        *_clouds(archive, config.get("scenes", {})),
        *_places(config.get("locations", {})),
    ]


def span(years: Sequence[int]) -> str:
    """Years in words, runs joined: ``2017-2019, 2021``."""
    runs: list[list[int]] = []
    for year in sorted(set(years)):
        if runs and runs[-1][1] == year - 1:
            runs[-1][1] = year
        else:
            runs.append([year, year])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def _imagery(archive: Mapping[str, Any], years: Sequence[int]) -> Source:
    kind = str(archive.get("kind", ""))
    own = f" Read through the archive {kind}: add what its provider asks for." if ":" in kind else ""
    return Source(
        name="Copernicus Sentinel-2 Level-2A",
        used_for="imagery",
        attribution=f"{ATTRIBUTION} {span(years)}".strip() + "." + own,
        license=COPERNICUS_TERMS,
        references=(references.SENTINEL_2,),
    )


def _vegetation(archive: Mapping[str, Any], source: str) -> Iterator[Source]:
    """The vegetation series or yearly dates, unless they come from the imagery itself."""
    if archive.get("kind") == "earth_engine":
        collection = archive.get("phenology_product" if source == "mcd12q2" else "vegetation", "")
    elif "vegetation" in archive:
        collection = archive.get("vegetation_collection", "")
    else:
        return
    products, version = modis_products(str(collection))
    for product in products:
        reference = references.modis(product) if version in ("", "061") else None
        named = f"{product} version {version}" if version else product
        yield Source(
            name=f"MODIS {named}",
            used_for="dates of the vegetation cycle",
            attribution=f"MODIS {named}, NASA EOSDIS Land Processes Distributed Active Archive Center.",
            license=NASA_TERMS,
            references=(reference,) if reference else (),
        )
    if not products:
        text = f"Vegetation series {collection}: cite it as its provider asks."
        yield Source(name=str(collection), used_for="dates of the vegetation cycle", attribution=text)


def modis_products(collection: str) -> tuple[tuple[str, ...], str]:
    """(products, version) that a collection's name tells: ``modis-13Q1-061`` holds Terra's and Aqua's."""
    if match := _STAC_MODIS.search(collection):
        return (f"MOD{match[1].upper()}", f"MYD{match[1].upper()}"), match[2]
    version = _COLLECTION.search(collection)
    return tuple(_PRODUCT.findall(collection)), version[1] if version else ""


def _services(archive: Mapping[str, Any]) -> Iterator[Source]:
    """Where the data were fetched: those who ask for it are thanked."""
    links = " ".join(str(archive.get(key, "")) for key in ("imagery", "vegetation", "sign"))
    if archive.get("kind") == "earth_engine":
        yield Source(
            name="Google Earth Engine",
            used_for="access",
            attribution="Accessed through Google Earth Engine.",
            references=(references.EARTH_ENGINE,),
        )
    if "planetarycomputer" in links or "planetary-computer" in links:
        yield Source(
            name="Microsoft Planetary Computer",
            used_for="access",
            attribution="Accessed through the Microsoft Planetary Computer.",
            references=(references.PLANETARY_COMPUTER,),
        )
    if "earth-search.aws.element84.com" in links:
        yield Source(
            name="Earth Search",
            used_for="access",
            attribution="Accessed through Earth Search (Element 84) and the Registry of Open Data on AWS.",
        )


def _clouds(archive: Mapping[str, Any], scenes: Mapping[str, Any]) -> Iterator[Source]:
    if archive.get("kind") == "earth_engine" and archive.get("cloud_score"):
        yield Source(
            name="Cloud Score+",
            used_for="choice of scenes",
            attribution="Scenes judged with Cloud Score+ S2_HARMONIZED, Google.",
            license=CC_BY,
            references=(references.CLOUD_SCORE,),
        )
    if model := scenes.get("cloud_model"):
        text = f"Scenes judged with the cloud model {model}: cite it as its authors ask."
        yield Source(name=str(model), used_for="choice of scenes", attribution=text)


def _places(locations: Mapping[str, Any]) -> Iterator[Source]:
    if strata := locations.get("strata"):
        yield _strata(str(strata))
    source = locations.get("source", {})
    if source.get("kind") != "grid":
        return
    yield Source(
        name="Major-TOM grid",
        used_for="locations",
        attribution="Locations on the Major-TOM grid.",
        references=(references.MAJOR_TOM,),
    )
    if source.get("land", "global-land-mask") == "global-land-mask":
        yield Source(
            name="global-land-mask",
            used_for="locations",
            attribution="Land by the package global-land-mask.",
            references=(references.LAND_MASK,),
        )


def _strata(place: str) -> Source:
    name = PurePath(place).name
    if "ecoregions2017" not in name.lower():
        text = f"Labels of {name}: cite the layer as its provider asks."
        return Source(name=name, used_for="ecoregions", attribution=text)
    return Source(
        name="RESOLVE Ecoregions 2017",
        used_for="ecoregions",
        attribution="RESOLVE Ecoregions 2017, licensed under CC BY 4.0.",
        license=CC_BY,
        references=(references.ECOREGIONS,),
    )
