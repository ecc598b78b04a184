"""An archive of one's own: a CSV of scenes, and beside it their GeoTIFFs as ``SCENE/BAND.tif``."""

import pandas as pd
import rasterio
import shapely
from rasterio.windows import Window

from ssl4eco_data.archives.own import OwnParameters, grid_of, series_by_reading, stats_by_reading
from ssl4eco_data.errors import ArchiveError
from ssl4eco_data.patches import remove_offset
from ssl4eco_data.types import LocalPath, Scene


class FolderArchive:
    class Parameters(OwnParameters):
        scenes: LocalPath
        cell_m: int = 160

    def __init__(self, parameters):
        self.parameters, self.folder = parameters, parameters.scenes.rpartition("/")[0]

    def _scenes(self):
        rows = pd.read_csv(self.parameters.scenes, parse_dates=["time"]).to_dict("records")
        shapes = [shapely.geometry.mapping(shapely.from_wkt(row.pop("wkt"))) for row in rows]
        return [Scene(**row, geometry=shape) for row, shape in zip(rows, shapes, strict=True)]

    def search(self, area, start, end):
        found = [s for s in self._scenes() if start <= s.time.date() < end]
        found = [s for s in found if shapely.geometry.shape(s.geometry).intersects(area)]
        return sorted(found, key=lambda s: (s.time, s.scene_id))

    def get(self, scene_ids):
        return {s.scene_id: s for s in self._scenes() if s.scene_id in scene_ids}

    def judge(self, scenes, footprint):
        return [stats_by_reading(self.read, scene, footprint) for scene in scenes]

    def read(self, scene, footprint, bands):
        return {band: self._window(scene, grid_of(scene, footprint, band), band) for band in bands}

    def _window(self, scene, grid, band):
        column = (grid.west_m - scene.tile_west_m) / grid.pixel_m
        row = (scene.tile_north_m - grid.north_m) / grid.pixel_m
        window = Window(column, row, grid.size_px, grid.size_px)
        try:
            with rasterio.open(f"{self.folder}/{scene.scene_id}/{band}.tif") as file:
                pixels = file.read(1, window=window, boundless=True, fill_value=0)
        except rasterio.errors.RasterioIOError as error:
            raise ArchiveError(f"{scene.scene_id}: {error}", transient=False) from error
        return remove_offset(pixels, 0 if band == "SCL" else scene.offset_dn)

    def vegetation_series(self, locations, start, end):
        return series_by_reading(self, locations, start, end, self.parameters.cell_m)
