"""RESOLVE Ecoregions 2017: what a file of it must hold.

Source: Dinerstein et al. (2017), BioScience 67(6), https://doi.org/10.1093/biosci/bix014: 846 ecoregions in
14 biomes and 8 realms. The file has one feature for each and one more, ice and bare rock, which is in none.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError

from ssl4eco_data.errors import ArchiveError, ConfigError

NAME = "Ecoregions2017"
FIELDS = ("ECO_NAME", "BIOME_NAME", "REALM")
ECOREGIONS, BIOMES, REALMS = 846, 14, 8
ICE = "rock and ice"
_NO_NAME = frozenset({"", "N/A"})
WAYS_OUT = (
    "download it in a browser and name the file in locations.strata, or set HTTPS_PROXY when your network "
    "has a proxy"
)


def check_whole(path: Path) -> None:
    """Read a zip through to its last byte; raises ArchiveError when it is none or is damaged.

    Files of other kinds pass.
    """
    if path.suffix != ".zip":
        return
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        with path.open("rb") as file:
            start = file.read(16)
        raise ArchiveError(
            f"{path.name} is no whole zip archive ({error}; it starts with {start!r}), a proxy or a sign-in "
            f"page may have answered instead; {WAYS_OUT}",
            transient=False,
        ) from None
    if damaged is not None:
        raise ArchiveError(f"{path.name} is damaged at its member {damaged}; fetch it again", transient=True)


def check_content(path: Path) -> int:
    """The number of features of a file that holds RESOLVE Ecoregions 2017.

    Reads attributes only. Raises :class:`~ssl4eco_data.errors.ConfigError`, naming everything that does not
    fit: a field or the coordinate system is absent, or the ecoregions, biomes or realms are not as many.
    """
    try:
        info = pyogrio.read_info(path)
        absent = [field for field in FIELDS if field not in info["fields"]]
        table = pyogrio.read_dataframe(path, columns=list(FIELDS), read_geometry=False)
    except (DataSourceError, DataLayerError, ValueError) as error:
        raise ConfigError(
            f"{path.name} holds no layer that GeoPandas reads: {error}; nothing was recorded"
        ) from None
    wrong = [f"it has no field {', '.join(absent)}"] if absent else _wrong_counts(table)
    if info["crs"] is None:
        wrong.append("it has no coordinate system")
    if wrong:
        raise ConfigError(
            f"{path.name} is not RESOLVE Ecoregions 2017: {'; '.join(wrong)}. Nothing was recorded; another "
            "polygon layer needs no fetching: name its file in locations.strata"
        )
    return len(table)


def _wrong_counts(table: pd.DataFrame) -> list[str]:
    """What the numbers of ecoregions, biomes and realms say against a table of the three fields."""
    named = table[table["ECO_NAME"].map(_is_name) & (table["ECO_NAME"].str.lower() != ICE)]
    counts = (
        ("named ecoregions", len(named), ECOREGIONS),
        ("biomes", _names(named["BIOME_NAME"]), BIOMES),
        ("realms", _names(named["REALM"]), REALMS),
    )
    return [f"{found} {what} instead of {wanted}" for what, found, wanted in counts if found != wanted]


def _names(values: Iterable[object]) -> int:
    return len({value for value in values if _is_name(value)})


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value.strip() not in _NO_NAME
