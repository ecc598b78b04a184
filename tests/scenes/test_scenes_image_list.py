"""Image ids of the reference project's index files, and what stays of them in every archive."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from ssl4eco_data.scenes.image_list import listed_image, listed_images


def test_every_row_of_the_published_index_files_is_understood(shared_data: Path) -> None:
    for name in ("biomes_labels_with_image_ids.first20.csv", "euforest_labels_with_image_ids.first12.csv"):
        table = pd.read_csv(shared_data / "ssl4eco-index" / name, dtype="str", keep_default_na=False)
        found = listed_images(name, table, table["ind"].tolist(), ("spring", "summer"), 1)
        assert len(found) == len(table) > 10
        for key, image_id in zip(table["ind"], table["image_id_1"], strict=True):
            image = found[key]["spring"]
            assert image.image_id == image_id
            assert f"{image.acquisition}_" in image_id
            assert image_id.endswith(f"_T{image.tile}")


def test_an_id_tells_datatake_datastrip_and_tile() -> None:
    image = listed_image("20170714T112111_20170714T112114_T29SMC")
    assert (image.acquisition, image.tile) == ("20170714T112111", "29SMC")
    assert image.taken == datetime(2017, 7, 14, 11, 21, 11, tzinfo=UTC)
    assert image.near == datetime(2017, 7, 14, 11, 21, 14, tzinfo=UTC)


@pytest.mark.parametrize(
    "name",
    [
        "S2B_MSIL2A_20190629T212529_N0212_R043_T06VVN_20201006T080531.SAFE",
        "S2B_MSIL2A_20190629T212529_R043_T06VVN_20201006T080531",
    ],
)
def test_names_of_products_are_understood_too(name: str) -> None:
    image = listed_image(name)
    assert (image.acquisition, image.tile) == ("20190629T212529", "06VVN")


@pytest.mark.parametrize(
    "name", ["S2B_24MUA_20250731_0_L2A", "20170714T112111_T29SMC", "20179914T112111_x_T29SMC"]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no image id like"):
        listed_image(name)
