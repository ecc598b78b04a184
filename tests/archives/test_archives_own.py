"""An archive of one's own by import path: refused where it cannot serve, and in whole runs."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest
import shapely
import tomli_w
from own_archive import FolderArchive
from own_offer import offer
from shapely.geometry import shape
from tests.conftest import ROOT, TINY, write_tiny_config
from tests.pipeline.digests import digest
from typer.testing import CliRunner

from ssl4eco_data import config as configuration
from ssl4eco_data import pipeline
from ssl4eco_data.archives.own import OwnParameters, archive_class, series_by_reading
from ssl4eco_data.cli import app
from ssl4eco_data.errors import ConfigError
from ssl4eco_data.pipeline.archive import open_archive
from ssl4eco_data.types import Location

HERE = Path(__file__).parent
OWN = 'kind = "own_archive:FolderArchive"\nscenes = "scenes.csv"\n'
TEXT = f"""
[dataset]
root = "out"
[period]
imagery_start = 2020-01-01
imagery_end = 2021-01-01
[archive]
{OWN}"""


def parse(folder: Path, text: str) -> configuration.Config:
    (folder / "scenes.csv").write_text("scene_id\n")
    return configuration.parse(text, folder / "own.toml")


def test_the_table_archive_is_checked_by_the_class_itself(tmp_path: Path) -> None:
    config = parse(tmp_path, TEXT + "cell_m = 320\nrequests_per_s = 3.0\n")
    archive = config.archive
    assert isinstance(archive, OwnParameters)
    assert archive.files() == (str(tmp_path / "scenes.csv"),)
    assert archive.IMAGERY == archive.JUDGED == archive.series_fields() == ("kind", "scenes", "cell_m")
    assert type(open_archive(config)).__name__ == "FolderArchive"


def test_what_is_written_into_the_dataset_parses_back(tmp_path: Path) -> None:
    text = parse(tmp_path, TEXT + "cell_m = 320\n").to_toml()
    assert str(tmp_path) not in text
    data = tomllib.loads(text)
    assert data["archive"]["cell_m"] == 320
    data["dataset"]["root"] = "out"
    assert parse(tmp_path, tomli_w.dumps(data)).to_toml() == text


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("scenes =", "scense ="), ["line 9", "archive.scense", "did you mean 'scenes'"]),
        (("scenes =", "cell_m = 1\n#"), ["archive.scenes: missing"]),
        ((OWN, f"{OWN}cell_m = 1.5"), ["line 10", "archive.cell_m", "1.5"]),
        ((OWN, f"{OWN}project = 3"), ["archive.project", "known keys: cell_m, connect_timeout_s"]),
        (('"scenes.csv"', '"gone.csv"'), ["archive.scenes names a file that does not exist", "gone.csv"]),
        (("own_archive:", "nowhere.at_all:"), ["line 7: archive", "nowhere.at_all", "PYTHONPATH"]),
        ((":FolderArchive", ":FolderArchiv"), ["has no 'FolderArchiv'", "did you mean 'FolderArchive'"]),
        ((":FolderArchive", ":Folder Archive"), ["no import path", "my_archive:MyArchive"]),
        (("own_archive:FolderArchive", "own_archive.FolderArchive"), ["package.module:ClassName", "'stac'"]),
        (("own_archive:FolderArchive", "unfit_archives:NOT_A_CLASS"), ["must name a class", "int"]),
        (("own_archive:FolderArchive", "unfit_archives:WithoutParameters"), ["OwnParameters"]),
        (("own_archive:FolderArchive", "unfit_archives:WithoutRead"), ["it lacks read"]),
        (
            ("own_archive:FolderArchive", "unfit_archives:WithShortSearch"),
            ["search must take (self, area, start, end)"],
        ),
        (("own_archive:FolderArchive", "unfit_archives:WithoutArguments"), ["class must take (parameters)"]),
        (("[archive]", "[[archive]]"), ["must be a table [archive]"]),
        (('kind = "own', 'king = "own'), ["archive.kind: missing"]),
    ],
)
def test_what_cannot_serve_is_refused_with_the_way_out(
    tmp_path: Path, change: tuple[str, str], expected: list[str]
) -> None:
    assert change[0] in TEXT
    with pytest.raises(ConfigError) as caught:
        parse(tmp_path, TEXT.replace(*change))
    message = str(caught.value)
    assert str(tmp_path / "own.toml") in message
    for part in expected:
        assert part in message


def test_kinds_name_only_their_own_keys(tmp_path: Path) -> None:
    text = TEXT.replace(OWN, 'kind = "stac"\nimagery = "scenes.csv"\npoints = 1\nprojct = "x"\n')
    with pytest.raises(ConfigError, match=r"archive\.points: unknown key 'points'") as caught:
        parse(tmp_path, text)
    assert "project" not in str(caught.value)
    text = TEXT.replace(OWN, 'kind = "earth_engine"\nproject = "p"\nsign = "none"\n')
    with pytest.raises(ConfigError, match=r"archive\.sign: unknown key 'sign'"):
        parse(tmp_path, text)


def write_folder(folder: Path, stac: configuration.Config) -> Path:
    """What ``own_archive`` reads, of all scenes of a catalogue; the files are links."""
    rows = []
    for scene in open_archive(stac).search(
        shapely.box(-180, -90, 180, 90), date(2015, 1, 1), date(2030, 1, 1)
    ):
        (folder / scene.scene_id).mkdir(parents=True)
        for band, asset in scene.assets.items():
            (folder / scene.scene_id / f"{band}.tif").symlink_to(asset.href)
        names = ("scene_id", "acquisition", "tile", "epsg", "tile_west_m", "tile_north_m", "cloud_fraction")
        row = {name: getattr(scene, name) for name in (*names, "sun_elevation_deg", "offset_dn")}
        rows.append(row | {"time": scene.time.isoformat(), "wkt": shape(dict(scene.geometry)).wkt})
    pd.DataFrame(rows).to_csv(folder / "scenes.csv", index=False)
    return folder / "scenes.csv"


@pytest.fixture(scope="module")
def by_stac(tmp_path_factory: pytest.TempPathFactory, tiny_archive: Path) -> Path:
    """A dataset of the tiny archive through STAC, its series from the imagery itself."""
    path = write_tiny_config(tmp_path_factory.mktemp("stac"), tiny_archive)
    lines = [line for line in path.read_text().splitlines() if not line.startswith("vegetation =")]
    path.write_text("\n".join(lines) + "\n")
    pipeline.build(configuration.load(path), pipeline.run_in_threads)
    return path


@pytest.fixture(scope="module")
def own_text(tmp_path_factory: pytest.TempPathFactory, by_stac: Path, tiny_archive: Path) -> str:
    """The configuration of the same dataset, read by the own archive."""
    scenes = write_folder(tmp_path_factory.mktemp("folder"), configuration.load(by_stac))
    before, _, after = TINY.format(archive=tiny_archive).partition("[archive]")
    own = OWN.replace('"scenes.csv"', f'"{scenes}"')
    return f"{before}[archive]\n{own}\n[locations]\n{after.partition('[locations]')[2]}"


def data(root: Path) -> Mapping[str, str]:
    """What the user of a dataset reads: the pixels, and which scenes they are of."""
    of_interest = ("patches.zarr", "scenes", "phenology", "weights.parquet")
    kept = {k: v for k, v in digest(root).items() if k.startswith(of_interest)}
    return {k: v for k, v in kept.items() if not k.endswith("zarr.json")}


def test_a_build_gives_what_the_same_scenes_give_through_stac(
    tmp_path: Path, own_text: str, by_stac: Path
) -> None:
    path = tmp_path / "own.toml"
    path.write_text(own_text)
    config = configuration.load(path)
    pipeline.build(config, pipeline.run_in_threads)
    assert data(config.root) == data(by_stac.parent / "dataset")
    assert "own_archive:FolderArchive" in (config.root / "config.toml").read_text()
    assert pipeline.first_pending(config) is None
    looked_at(path, config)
    stale(config, own_text)


def looked_at(path: Path, config: configuration.Config) -> None:
    """plan, doctor and explain know the archive too."""

    def told(*words: str) -> str:
        result = CliRunner(env={"COLUMNS": "100"}).invoke(app, list(words))
        assert result.exit_code == 0, result.output
        return result.output

    assert "6 locations" in told("plan", str(path))
    before, _, after = path.read_text().partition("[period]")
    within = path.with_name("within.toml")
    within.write_text(f"{before}[period]{after.replace('2023-01-01', '2022-07-01')}")
    found = told("doctor", str(within))
    for check in ("imagery", "mask", "vegetation"):
        assert f"ok      {check} " in found
    where = pd.read_parquet(config.root / "locations.parquet").iloc[0]
    picture = path.with_name("point.png")
    point = f"{where['lon']},{where['lat']}"
    assert "greenup" in told("phenology", str(path), "--at", point, "--to", str(picture))
    assert picture.is_file()
    place = pd.read_parquet(config.root / "scenes/choices/00000.parquet")["location_id"][0]
    assert "candidates" in told("explain", str(config.root), place)


def stale(config: configuration.Config, text: str) -> None:
    """Which stage is the first to be done again after a change."""
    path = config.root.parent / "own.toml"

    def first(change: tuple[str, str]) -> str | None:
        path.write_text(text.replace(*change))
        return pipeline.first_pending(configuration.load(path))

    assert first(("[archive]", "[archive]\nmax_requests_in_flight = 7")) == "close"
    assert first(("[archive]", "[archive]\ncell_m = 320")) == "phenology"
    archive = config.archive
    assert isinstance(archive, OwnParameters)
    (table,) = map(Path, archive.files())
    written = table.read_bytes()
    try:
        table.write_bytes(written + b"\n")
        assert first(("", "")) == "phenology"
    finally:
        table.write_bytes(written)


def test_dask_workers_import_the_archive(tmp_path: Path, own_text: str, by_stac: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(f'{own_text}\ntask_runner = "dask"\n')
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    env = kept | {"PREFECT_HOME": str(tmp_path / "prefect"), "PYTHONPATH": f"{HERE}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "flows.dataset", str(path)]
    done = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert data(tmp_path / "dataset") == data(by_stac.parent / "dataset")


def test_a_folder_counts_by_the_names_and_sizes_of_its_files(tmp_path: Path) -> None:
    from ssl4eco_data.pipeline.basis import own_content

    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.tif").write_bytes(b"12")
    first = own_content(str(tmp_path))
    assert first == [("a/b.tif", 2)]
    (tmp_path / "a" / "b.tif").write_bytes(b"123")
    assert own_content(str(tmp_path)) != first


def test_the_class_may_narrow_what_decides_the_pixels() -> None:
    base = archive_class("own_archive:FolderArchive").Parameters
    narrow = type("Narrow", (base,), {"IMAGERY": ("kind", "scenes"), "__module__": __name__})
    assert narrow.IMAGERY == ("kind", "scenes")
    assert narrow.JUDGED == ("kind", "scenes", "cell_m")


def test_another_class_makes_stale_whatever_the_parameters_say() -> None:
    base = archive_class("own_archive:FolderArchive").Parameters
    names = {"IMAGERY": ("scenes",), "JUDGED": (), "__module__": __name__}
    narrow = type("Narrow", (base,), names)
    assert narrow.IMAGERY == ("kind", "scenes")
    assert narrow.JUDGED == narrow(kind="a:b", scenes="s").series_fields() == ("kind",)


def test_every_path_of_a_tuple_counts_and_has_to_be_there(tmp_path: Path) -> None:
    own = OWN.replace("own_archive:FolderArchive", "unfit_archives:OfTiles")
    text = TEXT.replace(OWN, f'{own}tiles = ["a.csv", "b.csv"]\n')
    with pytest.raises(ConfigError, match=r"archive\.tiles names a file that does not exist.*a\.csv"):
        parse(tmp_path, text)
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(name)
    config = parse(tmp_path, text)
    assert isinstance(config.archive, OwnParameters)
    assert config.archive.files() == tuple(str(tmp_path / n) for n in ("scenes.csv", "a.csv", "b.csv"))
    scenes = pipeline.stage_named("scenes")
    before = scenes.parameters(config)
    (tmp_path / "b.csv").write_text("other")
    assert scenes.parameters(config) != before


class WithABrokenScene(FolderArchive):
    """One more scene, of which nothing but time and place is known."""

    def search(self, area, start, end):
        found = super().search(area, start, end)
        numbers = dict.fromkeys(
            ("tile_west_m", "tile_north_m", "cloud_fraction", "sun_elevation_deg"), math.nan
        )
        broken = replace(found[0], scene_id="broken", epsg=0, failure="no item", **numbers)
        return [*found, broken]


def test_a_scene_that_cannot_be_read_is_told_by_the_series(tmp_path: Path) -> None:
    offered = offer(tmp_path)
    archive = WithABrokenScene(offered.archive.parameters)
    place = Location(location_id="a", lon_deg=3.0, lat_deg=51.0, footprint=offered.footprint)
    scenes = offered.scenes()
    period = scenes[0].time.date(), scenes[0].time.date() + timedelta(days=1)
    series = series_by_reading(archive, [place], *period, 160)
    assert series.attrs["unreadable"] == ["no item"]
    assert series.sizes["time"] == 1
