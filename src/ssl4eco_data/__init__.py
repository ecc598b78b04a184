"""SSL4Eco data: locations, phenology, scenes, patches and the store they end in.

>>> import ssl4eco_data
>>> dataset = ssl4eco_data.open_dataset("data/demo")  # doctest: +SKIP
"""

from ssl4eco_data.store.cube import cube, native, scene_classes
from ssl4eco_data.store.indices import evi2, masks, ndvi, reflectance
from ssl4eco_data.store.reader import open_dataset
from ssl4eco_data.store.selection import select

__all__ = [
    "cube",
    "evi2",
    "masks",
    "native",
    "ndvi",
    "open_dataset",
    "reflectance",
    "scene_classes",
    "select",
]
