"""SSL4Eco data: locations, phenology, scenes, patches and the store they end in.

>>> import ssl4eco_data
>>> dataset = ssl4eco_data.open_dataset("data/demo")  # doctest: +SKIP
"""

from ssl4eco_data.store.reader import ndvi, open_dataset, patch

__all__ = ["ndvi", "open_dataset", "patch"]
