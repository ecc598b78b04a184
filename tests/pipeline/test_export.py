"""``ssl4eco export``: every file is opened again by other code and compared with what was stored."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rasterio.io import MemoryFile
from typer.testing import CliRunner

from ssl4eco_data.bands import BANDS as BAND_TABLE
from ssl4eco_data.bands import REFLECTANCE_BANDS
from ssl4eco_data.cli import app
from ssl4eco_data.errors import StoreError
from ssl4eco_data.pipeline.export import ExportOptions, export, plan_export
from ssl4eco_data.pipeline.export_majortom import cloud_mask, metadata_table
from ssl4eco_data.pipeline.export_table import csv_bytes, patch_table, safe_name
from ssl4eco_data.pipeline.export_tiff import COG, Raster, tiff_bytes
from ssl4eco_data.store import cube, native, open_dataset, place_of, select
from tests.conftest import ROOT
from tests.store.small_dataset import EMPTY_ROW, SEASONS, Small, build_small

BANDS = ("B01", "B02", "B03", "B04", "B05", "B08")
NATIVE = {"B01": "r60", "B02": "r10", "B03": "r10", "B04": "r10", "B05": "r20", "B08": "r10", "SCL": "scl"}

pytestmark = [
    pytest.mark.filterwarnings("error"),
    pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning"),  # rasterio 1.4, affine 3
]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return build_small(tmp_path_factory.mktemp("exported"))


def run(*words: str) -> tuple[int, str]:
    """(exit code, everything printed)."""
    done = CliRunner().invoke(app, ["export", *words], catch_exceptions=False)
    return done.exit_code, done.output


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def stored(small: Small, row: int, season: int, band: str) -> np.ndarray:
    """A band's native pixels as they were written."""
    name = NATIVE[band]
    if name == "scl":
        return small.pixels["scl"][row, season]
    here = [b for b in BANDS if NATIVE[b] == name]
    return small.pixels[name][row, season, here.index(band)]


def value_at(small: Small, row: int, season: int, band: str, x: float, y: float) -> int:
    """The stored pixel that holds a point; worked out from the corners alone."""
    west, north, pixel_m = 500_000.0 + 1000 * row, 5_600_000.0, 10
    if NATIVE[band] == "r60":
        west, north, pixel_m = west - 40, north + 20, 60
    elif NATIVE[band] in ("r20", "scl"):
        pixel_m = 20
    return int(stored(small, row, season, band)[int((north - y) // pixel_m), int((x - west) // pixel_m)])


def test_each_cog_is_the_patch_in_its_place(small: Small, tmp_path: Path) -> None:
    code, text = run(str(small.root), str(tmp_path / "out"))
    assert code == 0, text
    table = pd.read_csv(tmp_path / "out" / "patches.csv", keep_default_na=False)
    assert len(table) == 20
    seen = 0
    for number, facts in enumerate(table.to_dict("records")):
        row, season = divmod(number, 4)
        assert (facts["location_id"], facts["season"]) == (small.ids[row], SEASONS[season])
        assert bool(facts["file"]) == bool(facts["scene_id"]) == bool(small.present[row, season])
        if not facts["file"]:
            assert facts["reason"] and facts["date"] == "" and facts["day_of_year"] == ""
            continue
        seen += 1
        with rasterio.open(tmp_path / "out" / facts["file"]) as file:
            west = 500_000.0 + 1000 * row
            assert tuple(file.bounds) == (west, 5_599_840.0, west + 160, 5_600_000.0)
            assert (file.crs.to_epsg(), file.nodata, file.dtypes[0]) == (32631, 0, "uint16")
            assert file.descriptions == (*BANDS, "SCL")
            assert file.tags()["scene_id"] == facts["scene_id"] and file.tags()["time"] == facts["time"]
            pixels = file.read()
            for k, band in enumerate(file.descriptions):
                for i, j in ((0, 0), (3, 8), (15, 15)):
                    x, y = file.xy(i, j)
                    assert pixels[k, i, j] == value_at(small, row, season, band, x, y), (band, i, j)
            for k, band in enumerate(BANDS):
                if NATIVE[band] == "r10":
                    np.testing.assert_array_equal(pixels[k], stored(small, row, season, band))
    assert seen == small.present.sum()


def test_the_table_has_dates_that_r_reads_and_all_facts(small: Small, tmp_path: Path) -> None:
    table = patch_table(small.root, open_dataset(small.root))
    back = pd.read_csv(io.BytesIO(csv_bytes(table)), keep_default_na=False)
    assert list(back.columns[:7]) == [
        "location_id", "season", "date", "day_of_year", "time", "scene_id", "reason",
    ]  # fmt: skip
    facts = back.iloc[5]
    assert (facts["date"], facts["day_of_year"], facts["time"]) == (
        "2020-02-02",
        "33",
        "2020-02-02T10:30:00Z",
    )
    for name in ("clear_fraction", "lon", "lat", "epsg", "west", "north", "biome", "split", "greenup"):
        assert name in back, name
    assert facts["biome"] == "Mangroves" and facts["epsg"] == 32631


def test_columns_of_the_user_come_along(tmp_path: Path) -> None:
    small = build_small(tmp_path)
    located = pq.read_table(tmp_path / "locations.parquet").to_pandas()
    visit = pd.to_datetime(["2020-05-01", None, "2021-06-02", None, "2022-01-01"], utc=True)
    located.assign(species=["oak", None, "ash", "elm", "fir"], visit=visit, file="mine").to_parquet(
        tmp_path / "locations.parquet"
    )
    table = patch_table(tmp_path, select(open_dataset(tmp_path), location=[small.ids[0], small.ids[2]]))
    assert table["species"].tolist() == ["oak"] * 4 + ["ash"] * 4
    assert table["visit"].tolist() == ["2020-05-01T00:00:00Z"] * 4 + ["2021-06-02T00:00:00Z"] * 4
    assert table["file_given"].unique().tolist() == ["mine"]


def test_files_at_each_resolution_are_the_stored_pixels(small: Small, tmp_path: Path) -> None:
    code, text = run(str(small.root), str(tmp_path), "--native", "--season", "summer")
    assert code == 0, text
    table = pd.read_csv(tmp_path / "patches.csv", keep_default_na=False)
    assert len(table) == 5
    for row, facts in enumerate(table.to_dict("records")):
        for column, names, pixel_m in (
            ("file_10m", ("B02", "B03", "B04", "B08"), 10),
            ("file_20m", ("B05", "SCL"), 20),
            ("file_60m", ("B01",), 60),
        ):
            if not small.present[row, 1]:
                assert facts[column] == ""
                continue
            with rasterio.open(tmp_path / facts[column]) as file:
                assert file.descriptions == names and file.res == (pixel_m, pixel_m)
                corner = (-40, 20) if pixel_m == 60 else (0, 0)
                west = 500_000.0 + 1000 * row
                assert (file.bounds.left, file.bounds.top) == (west + corner[0], 5_600_000.0 + corner[1])
                for k, band in enumerate(names):
                    np.testing.assert_array_equal(file.read(k + 1), stored(small, row, 1, band))


def test_a_large_raster_is_a_cog_with_tiles_and_overviews(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 12, (2, 700, 700)).astype(np.uint16)
    raster = Raster(
        pixels=pixels, bands=("B04", "SCL"), epsg=32720, west_m=3e5, north_m=8e6, pixel_m=10, tags={"a": "b"}
    )
    data = tiff_bytes(raster, COG)
    (tmp_path / "large.tif").write_bytes(data)
    with rasterio.open(tmp_path / "large.tif") as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.block_shapes == [(256, 256)] * 2
        assert file.overviews(1) == [2, 4]
        np.testing.assert_array_equal(file.read(), pixels)
        half = file.read(2, out_shape=(350, 350))
        assert set(np.unique(half)) <= set(range(12)), "classes are not averaged"
    header = data.index(b"LAYOUT=IFDS_BEFORE_DATA")
    assert header < 1000, "what a reader needs lies in front"
    assert tiff_bytes(raster, COG) == data


def test_parquet_reads_as_major_tom_reads_it(small: Small, tmp_path: Path) -> None:
    chosen = open_dataset(small.root)
    job = plan_export(small.root, chosen, tmp_path, ExportOptions(format="major-tom", part_rows=5))
    done = export(job)
    assert (done.patches, done.written, done.kept) == (int(small.present.sum()), 3, 0)
    metadata = pd.read_parquet(tmp_path / "metadata.parquet")
    assert len(metadata) == small.present.sum()
    for facts in metadata.to_dict("records"):
        file = pq.ParquetFile(tmp_path / facts["parquet_url"])
        assert file.num_row_groups == file.metadata.num_rows
        (row,) = file.read_row_group(facts["parquet_row"]).to_pylist()
        assert (row["product_id"], row["grid_cell"]) == (facts["product_id"], facts["grid_cell"])
        assert row["timestamp"] == facts["timestamp"].to_pydatetime()
        i, j = small.ids.index(row["grid_cell"]), SEASONS.index(row["season"])
        for band in (*BANDS, "SCL"):
            with MemoryFile(row[band]) as memory, memory.open(driver="GTiff") as tiff:
                np.testing.assert_array_equal(tiff.read(1), stored(small, i, j, band))
                assert tiff.crs.to_string() == facts["crs"] == "EPSG:32631"
        with MemoryFile(row["cloud_mask"]) as memory, memory.open() as tiff:
            assert tiff.shape == (16, 16) and tiff.nodata is None
            np.testing.assert_array_equal(tiff.read(1)[::2, ::2], cloud_mask(stored(small, i, j, "SCL")))
        image = np.asarray(Image.open(io.BytesIO(row["thumbnail"])))
        wanted = np.clip(stored(small, i, j, "B04") * (255 / 3000), 0, 255)
        assert np.abs(image[..., 0] - wanted).max() <= 0.51


def test_cells_of_the_grid_have_their_numbers() -> None:
    table = pd.DataFrame(
        {
            "location_id": ["199U_1099R", "0U_3L", "12D_0R", "my plot"],
            "scene_id": list("abcd"),
            "time": "2020-01-01T00:00:00Z",
            "lon": 0.0,
            "lat": 0.0,
            "epsg": 32601,
            "cloud_fraction": [0.25, 0, 0, 0],
        }
    )
    seen = metadata_table(table, 3)
    assert seen["grid_row_u"].tolist() == [199, 0, -12, pd.NA]
    assert seen["grid_col_r"].tolist() == [1099, -3, 0, pd.NA]
    assert seen["cloud_cover"].tolist() == [25, 0, 0, 0]
    assert seen["parquet_url"].tolist() == ["images/part_00001.parquet"] * 3 + ["images/part_00002.parquet"]
    assert seen["parquet_row"].tolist() == [0, 1, 2, 0]


def test_cloud_mask_names() -> None:
    assert cloud_mask(np.arange(12, dtype=np.uint8)).tolist() == [0, 0, 0, 3, 0, 0, 0, 0, 1, 1, 2, 0]


@pytest.mark.parametrize("form", ["cog", "major-tom"])
def test_it_goes_on_where_it_was_and_gives_the_same_bytes(small: Small, tmp_path: Path, form: str) -> None:
    words = (str(small.root), str(tmp_path / "out"), "--format", form)
    assert run(*words)[0] == 0
    first = files(tmp_path / "out")
    gone = next(
        p for p in sorted((tmp_path / "out").rglob("*")) if p.suffix in (".tif", ".parquet") and "_" in p.name
    )
    gone.unlink()
    (gone.parent / ".killed.1-1.ssl4eco-part").write_bytes(b"half")
    code, text = run(*words)
    assert code == 0 and "1 files written" in text, text
    assert ("were there" in text) == (form == "cog"), "of Parquet there is one part"
    assert files(tmp_path / "out") == first
    code, text = run(*words)
    assert "0 files written" in text


def test_a_folder_of_something_else_is_left_alone(small: Small, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    code, text = run(str(small.root), str(tmp_path / "mine"))
    assert code == 1 and "holds something that is no export" in text
    assert files(tmp_path / "mine") == {"thesis.tex": b"x"}
    assert run(str(small.root), str(tmp_path / "out"), "--season", "summer")[0] == 0
    before = files(tmp_path / "out")
    for words in (
        ("--season", "spring"),
        ("--season", "summer", "--native"),
        ("--season", "summer", "--bands", "B04"),
    ):
        code, text = run(str(small.root), str(tmp_path / "out"), *words)
        assert code == 1 and "another export (it differs in " in text, text
    code, text = run(str(small.root), str(small.root))
    assert code == 1 and "no export" in text
    (tmp_path / "out" / "export.json").write_text("{")
    code, text = run(str(small.root), str(tmp_path / "out"), "--season", "summer")
    assert code == 1 and "cannot read" in text
    assert {k: v for k, v in files(tmp_path / "out").items() if k != "export.json"} == {
        k: v for k, v in before.items() if k != "export.json"
    }


def test_other_pixels_are_another_export(tmp_path: Path) -> None:
    small = build_small(tmp_path / "data")
    assert run(str(small.root), str(tmp_path / "out"))[0] == 0
    mark = tmp_path / "data/ledger/patches/00000.json"
    document = json.loads(mark.read_text())
    document["files"][0]["sha256"] = "0" * 64
    mark.write_text(json.dumps(document))
    code, text = run(str(small.root), str(tmp_path / "out"))
    assert code == 1 and "differs in pixels_sha256" in text


def test_wrong_words_are_told(small: Small, tmp_path: Path) -> None:
    for words, what in (
        (("--biome", "Mangrove"), "did you mean 'Mangroves'"),
        (("--box", "1,2,3"), "--box must be W,S,E,N"),
        (("--bands", "B8"), "did you mean"),
        (("--bands", "B04,B04"), "must be different"),
        (("--location", small.ids[EMPTY_ROW]), "no patch is left"),
        (("--format", "major-tom", "--native"), "native goes with"),
        (("--format", "zip"), "zip"),
        (("--limit", "0"), "--limit"),
    ):
        code, text = run(str(small.root), str(tmp_path / "out"), *words)
        assert code == 2 and what in text, text
        assert not (tmp_path / "out").exists()


def test_options_choose(small: Small, tmp_path: Path) -> None:
    words = ("--biome", "Mangroves", "--split", "train", "--box", "2,49,4.5,52", "--limit", "1")
    code, text = run(str(small.root), str(tmp_path), *words, "--bands", "SCL, B08,B01")
    assert code == 0, text
    table = pd.read_csv(tmp_path / "patches.csv", keep_default_na=False)
    assert table["location_id"].unique().tolist() == [small.ids[1]]
    name = next(name for name in table["file"] if name)
    with rasterio.open(tmp_path / name) as file:
        assert file.descriptions == ("SCL", "B08", "B01")


def test_a_damaged_patch_stops_it_and_is_named(tmp_path: Path) -> None:
    small = build_small(tmp_path / "data")
    shard = tmp_path / "data/patches.zarr/sentinel2/r20/c/0/0/0/0/0"
    data = bytearray(shard.read_bytes())
    data[30] ^= 255
    shard.write_bytes(data)
    code, text = run(str(small.root), str(tmp_path / "out"))
    assert code == 1 and "r20" in text and "ssl4eco check" in text, text
    assert not (tmp_path / "out" / "patches.csv").exists()


CHILD = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from ssl4eco_data.cli import app
from ssl4eco_data.pipeline import export
from ssl4eco_data.store import open_dataset
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
app(sys.argv[1:])
"""


def test_a_full_disk_leaves_whole_files_only(small: Small, tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="NO LIMIT OF FILE SIZES HERE: this test did not run")
    words = ["export", str(small.root), str(tmp_path / "out"), "--format", "major-tom"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, "4096", *words],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "error: cannot write" in done.stderr and "Traceback" not in done.stderr
    assert list(files(tmp_path / "out")) == ["export.json"]
    assert run(*words[1:])[0] == 0
    assert len(pd.read_parquet(tmp_path / "out/metadata.parquet")) == small.present.sum()


def test_an_object_store_takes_it_too(small: Small) -> None:
    to = place_of("memory://exports/alps")
    job = plan_export(small.root, open_dataset(small.root), to, ExportOptions(bands=("B04",)))
    done = export(job)
    table = pd.read_csv(io.BytesIO(done.table.read_bytes()), keep_default_na=False)
    with MemoryFile((to / table["file"][0]).read_bytes()) as memory, memory.open() as tiff:
        np.testing.assert_array_equal(tiff.read(1), stored(small, 0, 0, "B04"))
    assert export(job).written == 0


@given(st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=2, unique=True))
def test_names_of_files_are_safe_and_different(labels: list[str]) -> None:
    for label in labels:
        name = safe_name(label.encode("utf-8", "replace").decode())
        assert name.isascii() and not set(name) & set('/\\:*?"<>| ') and not name.startswith(".")
    one, other = (label.encode("utf-8", "replace").decode() for label in labels)
    assert one == other or safe_name(one) != safe_name(other)


def test_a_dataset_built_by_the_pipeline(built_config: Path, tmp_path: Path) -> None:
    root = built_config.parent / "dataset"
    code, text = run(str(root), str(tmp_path / "out"), "--limit", "2", "--season", "summer")
    assert code == 0, text
    dataset = open_dataset(root)
    table = pd.read_csv(tmp_path / "out/patches.csv", keep_default_na=False)
    assert "inclusion_probability" in table and "days_since_greenup" in table
    for facts in table[table["file"] != ""].to_dict("records"):
        with rasterio.open(tmp_path / "out" / facts["file"]) as file:
            wanted = cube(dataset, facts["location_id"], "summer")
            assert set(file.descriptions) <= {*REFLECTANCE_BANDS, "SCL"}
            np.testing.assert_array_equal(file.read()[:-1], wanted)
            assert native(dataset, facts["location_id"], "summer", 20).sizes["y"] == 32
            assert file.tags()["attribution"] == dataset.attrs["attribution"]


def test_errors_of_the_store_are_ours(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="build it first"), warnings.catch_warnings():
        open_dataset(tmp_path)
    assert run(str(tmp_path), str(tmp_path / "out"))[0] == 1


def window_of(path: Path, bounds: tuple[float, float, float, float], epsg: int) -> np.ndarray:
    """The pixels of a scene's file within bounds, read by rasterio alone."""
    with rasterio.open(path) as scene:
        assert scene.crs.to_epsg() == epsg
        return scene.read(1, window=scene.window(*bounds))


def same_as_scene(root: Path, items: Path, to: Path) -> int:
    """Compare an export at each resolution with the scenes it was taken from; how many bands were."""
    scenes = {item["id"]: item for item in json.loads(items.read_text())["features"]}
    job = plan_export(root, open_dataset(root), to, ExportOptions(native=True))
    table = pd.read_csv(export(job).table, keep_default_na=False)
    compared = 0
    for facts in table[table["scene_id"] != ""].to_dict("records"):
        assets = scenes[facts["scene_id"]]["assets"]
        baseline = float(scenes[facts["scene_id"]]["properties"].get("s2:processing_baseline", 0))
        offset = -1000 if baseline >= 4 else 0  # ESA, processing baseline 04.00
        for column in ("file_10m", "file_20m"):
            with rasterio.open(to / facts[column]) as file:
                for k, band in enumerate(file.descriptions):
                    asset = assets[band if band in assets else BAND_TABLE[band].common_name]
                    scene = window_of(items.parent / asset["href"], tuple(file.bounds), file.crs.to_epsg())
                    wanted = np.where(scene > 0, np.maximum(scene.astype(int) + offset, 1), 0)
                    np.testing.assert_array_equal(file.read(k + 1), wanted if band != "SCL" else scene)
                    compared += 1
    return compared


def test_pixels_are_those_of_the_scene(built_config: Path, tiny_archive: Path, tmp_path: Path) -> None:
    items = tiny_archive / "sentinel-2-l2a.json"
    assert same_as_scene(built_config.parent / "dataset", items, tmp_path) > 50
