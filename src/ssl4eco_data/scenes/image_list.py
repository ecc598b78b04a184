"""A list of images by location and season, in the form of the reference project's index files; pure.

Columns ``image_id_1``, ``image_id_2``, ... hold Earth Engine's names of Sentinel-2 images,
``20230811T105629_20230811T105939_T30TYN``: start of the datatake, start of the datastrip, tile.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pandas as pd

from ssl4eco_data.errors import ConfigError

COLUMN = "image_id_"
_COLUMN = re.compile(r"image_id_([1-9]\d*)")
_IMAGE_ID = re.compile(r"(\d{8}T\d{6})_(\d{8}T\d{6})_T(\d{2}[A-Z]{3})")
_PRODUCT = re.compile(r"S2[A-Z]_MSIL\d[A-Z]_(\d{8}T\d{6})_.*?T(\d{2}[A-Z]{3})(?=_|\.|$).*")
_NOTHING = ("", "NA", "nan", "NaN", "None", "null")
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedImage:
    """One image that a list names, and what stays of it in every archive.

    ``acquisition`` is the start of the datatake (``20230811T105629``), ``near`` the start of the datastrip
    where the name tells it, else that of the datatake; UTC.
    """

    image_id: str
    acquisition: str
    tile: str
    taken: datetime
    near: datetime


def listed_image(image_id: str) -> ListedImage:
    """The image that an id names: Earth Engine's, or a product's (``S2B_MSIL2A_...``). Raises ValueError."""
    if found := _IMAGE_ID.fullmatch(image_id):
        start, strip, tile = found.groups()
    elif found := _PRODUCT.fullmatch(image_id):
        (start, tile), strip = found.groups(), found[1]
    else:
        raise ValueError(
            f"{image_id!r} is no image id like 20230811T105629_20230811T105939_T30TYN: start of the "
            "datatake, start of the datastrip (the datatake's again where unknown), tile; nor a "
            "product's name"
        )
    taken, near = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (start, strip))
    return ListedImage(image_id=image_id, acquisition=start, tile=tile, taken=taken, near=near)


def image_columns(path: str, columns: Sequence[str], seasons: Sequence[str], min_seasons: int) -> list[str]:
    """The columns of the images, one for each of the first seasons.

    Raises ConfigError when there is none, when one is missing between others, when there are more than
    seasons, and when there are too few for any location to be kept.
    """
    numbers = sorted(int(found[1]) for name in columns if (found := _COLUMN.fullmatch(str(name))))
    if not numbers:
        raise ConfigError(
            f"{path} has no column {COLUMN}1 (to {COLUMN}{len(seasons)}) with the images of the seasons "
            f"{', '.join(seasons)}; its columns are: {', '.join(map(str, columns))}"
        )
    if numbers != list(range(1, len(numbers) + 1)) or len(numbers) > len(seasons):
        raise ConfigError(
            f"{path} must have columns {COLUMN}1 to at most {COLUMN}{len(seasons)}, one for each of the "
            f"seasons {', '.join(seasons)}, without a gap; got {', '.join(f'{COLUMN}{n}' for n in numbers)}"
        )
    if len(numbers) < min_seasons:
        raise ConfigError(
            f"{path} lists {len(numbers)} image{'s' * (len(numbers) > 1)} a location and "
            f"scenes.min_seasons = {min_seasons} would drop every location: set scenes.min_seasons = "
            f"{len(numbers)}"
        )
    return [f"{COLUMN}{number}" for number in numbers]


def listed_images(
    path: str, table: pd.DataFrame, keys: Sequence[str], seasons: Sequence[str], min_seasons: int
) -> dict[str, Mapping[str, ListedImage]]:
    """Key of each row -> season -> image; a season without an id is absent.

    ``table`` holds text; ``keys`` has one key a row. Raises ConfigError as :func:`image_columns` does, for a
    repeated key and for ids of another form.
    """
    columns = image_columns(path, list(table.columns), seasons, min_seasons)
    twice = pd.Series(keys)[pd.Series(keys).duplicated()].unique().tolist()
    if twice:
        raise ConfigError(
            f"{path} has {len(twice)} locations in more than one row: "
            f"{', '.join(map(str, twice[:_SHOWN]))}; keep one row of each"
        )
    found: dict[str, Mapping[str, ListedImage]] = {}
    known: dict[str, ListedImage] = {}
    for row, (key, ids) in enumerate(zip(keys, table[columns].to_numpy().tolist(), strict=True)):
        images = {}
        for season, column, image_id in zip(seasons, columns, ids, strict=False):
            if (text := str(image_id).strip()) in _NOTHING:
                continue
            try:
                images[season] = known[text] = known.get(text) or listed_image(text)
            except ValueError as error:
                raise ConfigError(f"{path}, row {row + 1}, column {column}: {error}") from None
        found[key] = images
    return found
