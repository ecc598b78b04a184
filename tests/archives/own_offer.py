"""The offer of the example archive to the contract suite: known pixels, and where to look for them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from catalogue_cases import CASES, FOOTPRINT, TILE_M, Truth, lonlat, write_catalogue
from contract_offer import OTHERS, Offer
from shapely.geometry import box

from ssl4eco_data.archives.own import archive_class


def write_scenes(path: Path, truth: Truth) -> None:
    """The table of the scenes of ``truth``, beside their files."""
    rows = []
    for name, tile in truth.tiles.items():
        ground = box(tile.west_m, tile.north_m - TILE_M, tile.west_m + TILE_M, tile.north_m)
        rows.append(
            {
                "scene_id": name,
                "acquisition": f"{name[:3]}_{truth.times[name]:%Y%m%dT%H%M%S}",
                "tile": tile.name,
                "time": truth.times[name].isoformat(),
                "epsg": tile.epsg,
                "tile_west_m": tile.west_m,
                "tile_north_m": tile.north_m,
                "cloud_fraction": 0.125,
                "sun_azimuth_deg": 160.0,
                "sun_elevation_deg": 40.0,
                "offset_dn": truth.offsets[name],
                "wkt": lonlat(tile.epsg, ground).wkt,
            }
        )
    pd.DataFrame(rows).to_csv(path, index=False)


def offer(folder: Path) -> Offer:
    """An archive written into ``folder``, and what it must give."""
    truth = write_catalogue(folder)
    assert len(truth.tiles) == len(CASES)
    write_scenes(folder / "files" / "scenes.csv", truth)
    own = archive_class("own_archive:FolderArchive")
    parameters = own.Parameters(kind="own_archive:FolderArchive", scenes=str(folder / "files" / "scenes.csv"))
    return Offer(own(parameters), truth, FOOTPRINT, OTHERS, index="evi2")
