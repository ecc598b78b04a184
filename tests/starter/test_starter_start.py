"""From wishes to a configuration that loads and samples what was asked; wrong wishes are named."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import shapely
from starter_layers import ALPS, write_layer

from ssl4eco_data.archives.earth_engine import EarthEngineParameters
from ssl4eco_data.archives.stac import StacParameters
from ssl4eco_data.config import Config, load
from ssl4eco_data.errors import ConfigError
from ssl4eco_data.locations import GridSource, PointSource, land_cells, sample_locations
from ssl4eco_data.starter import Wishes, write

Make = Callable[..., Wishes]
BERN = (7.1, 46.7, 7.8, 47.2)


def written(wishes: Wishes) -> Config:
    write(wishes)
    return load(wishes.to)


def grid_of(config: Config) -> GridSource:
    assert isinstance(config.locations.source, GridSource)
    return config.locations.source


def cells(config: Config, spacing_km: float) -> int:
    return len(land_cells(grid_of(config).model_copy(update={"spacing_km": spacing_km}))[1])


def test_a_region_gives_the_locations_asked_for(wish: Make, alps: str) -> None:
    config = written(wish(region=alps, n=500))
    spacing_km = grid_of(config).spacing_km
    assert cells(config, spacing_km) >= 500 > cells(config, 1.02 * spacing_km)
    table = sample_locations(config.locations, config.patches.size_m).table
    assert len(table) == 500
    west, south, east, north = ALPS
    assert table["lon"].between(west, east).all()
    assert table["lat"].between(south, north).all()


def test_the_default_spacing_stays_where_it_is_enough(wish: Make, alps: str, tmp_path: Path) -> None:
    default_km = GridSource().spacing_km
    available = cells(written(wish(region=alps)), default_km)
    exact = written(wish(region=alps, n=available, to=tmp_path / "exact.toml"))
    assert grid_of(exact).spacing_km == default_km
    assert exact.locations.allocation.n == available
    more = written(wish(region=alps, n=available + 1, to=tmp_path / "more.toml"))
    assert grid_of(more).spacing_km < default_km


def test_without_n_all_cells_are_taken(wish: Make, alps: str) -> None:
    wishes = wish(region=alps)
    lines = write(wishes)
    config = load(wishes.to)
    assert config.locations.allocation.rule == "all"
    sample = sample_locations(config.locations, config.patches.size_m)
    assert f"all {len(sample.table)}" in "\n".join(lines)


def test_without_region_it_is_the_world(wish: Make) -> None:
    wishes = wish()
    lines = write(wishes)
    assert grid_of(load(wishes.to)) == GridSource()
    assert "land cells in the world at 23 km" in "\n".join(lines)


def test_strata_are_sampled_by_area(wish: Make, alps: str, halves: str) -> None:
    config = written(wish(region=alps, strata=halves, n=100))
    assert config.locations.strata == halves
    strata = sample_locations(config.locations, config.patches.size_m).strata.set_index("stratum")
    assert strata["got"].sum() == 100
    assert 3.5 < strata.loc["east", "got"] / strata.loc["west", "got"] < 4.5


def test_other_fields_of_strata(wish: Make, alps: str, tmp_path: Path) -> None:
    layer = write_layer(tmp_path / "countries.gpkg", [ALPS], country=["x"], REALM=["r"])
    config = written(wish(region=alps, strata=layer, strata_field="country", n=50))
    named = config.locations
    assert (named.ecoregion_field, named.biome_field, named.realm_field) == ("country", "", "REALM")
    table = sample_locations(named, config.patches.size_m).table
    assert set(table["ecoregion"]) == {"x"}
    assert set(table["realm"]) == {"r"}


def test_the_real_ecoregions(wish: Make, alps: str, shared_data: Path) -> None:
    layer = shared_data / "ecoregions" / "resolve_ecoregions2017_simplified5pct.gpkg"
    config = written(wish(region=alps, strata=str(layer), n=100))
    strata = sample_locations(config.locations, config.patches.size_m).strata
    assert strata["got"].sum() == 100
    assert "Alps conifer and mixed forests" in set(strata["stratum"])


def test_points_are_taken_as_they_are(wish: Make, plots: str) -> None:
    wishes = wish(points=plots)
    lines = write(wishes)
    config = load(wishes.to)
    assert isinstance(config.locations.source, PointSource)
    assert 'points = "plots.csv"' in wishes.to.read_text()
    assert len(sample_locations(config.locations, config.patches.size_m).table) == 2
    assert f"points   2 in {plots}" in "\n".join(lines)


def test_the_period(wish: Make, plots: str) -> None:
    period = written(wish(points=plots)).period
    assert period.imagery == period.vegetation == (date(2018, 3, 1), date(2024, 1, 1))


def test_the_planetary_computer_by_name_and_by_address(wish: Make, tmp_path: Path, plots: str) -> None:
    by_name = written(wish(archive="planetary-computer", points=plots)).archive
    address = "https://planetarycomputer.microsoft.com/api/stac/v1"
    assert isinstance(by_name, StacParameters)
    assert by_name.imagery == by_name.vegetation == address
    assert by_name.sign == "planetary-computer"
    assert written(wish(archive=f"{address}/", points=plots, to=tmp_path / "b.toml")).archive == by_name


def test_earth_search(wish: Make, plots: str) -> None:
    archive = written(wish(archive="earth-search", points=plots)).archive
    assert isinstance(archive, StacParameters)
    assert archive.imagery == "https://earth-search.aws.element84.com/v1"
    assert (archive.collection, archive.vegetation) == ("sentinel-2-c1-l2a", None)
    assert archive.vegetation_pixel_m == 160


def test_earth_engine(wish: Make, plots: str) -> None:
    archive = written(wish(archive="earth-engine", project="my-project", points=plots)).archive
    assert archive == EarthEngineParameters(project="my-project")


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/stac", "https://example.org/v1"])
def test_another_stac_api(wish: Make, plots: str, address: str) -> None:
    archive = written(wish(archive=address, points=plots)).archive
    assert archive == StacParameters(imagery=address)


@pytest.mark.parametrize("name", ["items.json", "items.ndjson", "catalogue"])
def test_a_catalogue_file(wish: Make, plots: str, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"type": "FeatureCollection", "features": []}')
    wishes = wish(archive=str(tmp_path / name), points=plots)
    archive = written(wishes).archive
    assert isinstance(archive, StacParameters)
    assert archive.imagery == str(tmp_path / name)
    assert f'imagery = "{name}"' in wishes.to.read_text()


@pytest.mark.parametrize("name", ['say "Alps".gpkg', "Grüße.gpkg", "back\\slash.gpkg", "[bold]a b[x].gpkg"])
def test_odd_names_are_found_again(wish: Make, tmp_path: Path, name: str) -> None:
    region = write_layer(tmp_path / "plain.gpkg", [BERN])
    Path(region).rename(tmp_path / name)
    assert grid_of(written(wish(region=str(tmp_path / name)))).region == str(tmp_path / name)


def test_the_summary_says_what_to_do_next(wish: Make, alps: str, tmp_path: Path) -> None:
    wishes = wish(region=alps, n=5000, to=tmp_path / "my alps.toml")
    text = "\n".join(write(wishes))
    found = cells(load(wishes.to), grid_of(load(wishes.to)).spacing_km)
    for part in (f"{found:,} land cells", "5,000 of them", f"ssl4eco build '{wishes.to}' --until locations"):
        assert part in text
    assert "overlap" not in text


def test_a_spacing_below_the_patch_is_noted(wish: Make, tmp_path: Path) -> None:
    region = write_layer(tmp_path / "bern.gpkg", [BERN])
    assert "overlap" in "\n".join(write(wish(region=region, n=1000)))


def test_nothing_is_overwritten(wish: Make, alps: str) -> None:
    wishes = wish(region=alps)
    wishes.to.write_text("mine")
    with pytest.raises(ConfigError, match=r"my\.toml is there already: remove it, or .*--to"):
        write(wishes)
    assert wishes.to.read_text() == "mine"


def test_a_link_to_nowhere_is_not_followed(wish: Make, plots: str, tmp_path: Path) -> None:
    wishes = wish(points=plots)
    wishes.to.symlink_to(tmp_path / "elsewhere.toml")
    with pytest.raises(ConfigError, match=r"my\.toml is there already"):
        write(wishes)
    assert not (tmp_path / "elsewhere.toml").exists()


def test_a_missing_folder_is_named(wish: Make, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"no folder {tmp_path / 'absent'}"):
        write(wish(to=tmp_path / "absent" / "my.toml"))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"n": 0}, "--n = 0.*greater than or equal to 1"),
        ({"n": -3}, "--n = -3"),
        ({"n": 5_000_001}, "--n = 5000001.*less than or equal to 5000000"),
        ({"region": "a.gpkg", "points": "b.csv"}, "--region is for a grid and --points"),
        ({"n": 5, "points": "b.csv"}, "--n is for a grid and --points"),
        ({"start": date(2024, 1, 1)}, "--start must be before --end, got 2024-01-01 and 2024-01-01"),
        ({"to": Path("my.tml")}, r"--to must name a file that ends in \.toml, got 'my\.tml'"),
        ({"strata_field": "country"}, "--strata FILE: give both"),
        ({"strata": "a.gpkg", "strata_field": ""}, "--strata FILE: give both"),
        ({"archive": "planetery-computer"}, "unknown archive.*did you mean 'planetary-computer'"),
        ({"archive": "earth_engine"}, "did you mean 'earth-engine'"),
        ({"archive": "cdse"}, "must be planetary-computer, earth-search, earth-engine, the http"),
        ({"archive": "s3://bucket/items.json"}, "unknown archive 's3://bucket/items.json'"),
        ({"archive": "earth-engine"}, "earth-engine needs --project"),
        ({"archive": "earth-engine", "project": ""}, "earth-engine needs --project"),
        ({"project": "p"}, "--project is for --archive earth-engine, not for 'earth-search'"),
    ],
)
def test_wishes_that_cannot_be_are_named(wish: Make, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wish(**asked)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"region": "absent.gpkg"}, r"no layer .*absent\.gpkg"),
        ({"points": "absent.csv"}, r"no points file .*absent\.csv"),
        ({"strata": "absent.gpkg", "region": "bern.gpkg"}, r"no layer .*absent\.gpkg"),
        ({"archive": "absent.json", "region": "bern.gpkg"}, r"archive\.imagery .*absent\.json"),
        ({"region": "no-crs.gpkg"}, "no coordinate system"),
        ({"region": "line.gpkg"}, "holds no polygon"),
        ({"region": "text.gpkg"}, "cannot read the layer"),
        ({"region": "sea.gpkg"}, r"region .*sea\.gpkg holds no land"),
        ({"region": "sea.gpkg", "n": 5}, r"region .*sea\.gpkg holds no land"),
        ({"region": "pole.gpkg"}, "holds no land north of -60 degrees"),
        ({"region": "small.gpkg"}, r"23 km grid has no land cell in .*small\.gpkg: say with --n"),
        ({"region": "strip.gpkg", "n": 5_000_000}, r"spacing_km = .* makes about"),
        ({"strata": "bern.gpkg", "region": "bern.gpkg"}, "no field 'ECO_NAME'.*--strata-field"),
        ({"strata": "bern.gpkg", "region": "bern.gpkg", "strata_field": "x"}, "no field 'x'"),
    ],
)
@pytest.mark.filterwarnings("ignore:.crs. was not provided")
def test_files_that_cannot_serve_are_named(
    wish: Make, tmp_path: Path, asked: dict[str, Any], message: str
) -> None:
    write_layer(tmp_path / "bern.gpkg", [BERN])
    write_layer(tmp_path / "strip.gpkg", [(7.4, 46.93, 7.401, 46.96)])
    write_layer(tmp_path / "sea.gpkg", [(-40, 30, -35, 35)])
    write_layer(tmp_path / "pole.gpkg", [(0, -85, 10, -80)])
    write_layer(tmp_path / "small.gpkg", [(7.4, 46.93, 7.44, 46.96)])
    (tmp_path / "text.gpkg").write_text("no layer")
    gpd.GeoDataFrame(geometry=[shapely.box(*BERN)]).to_file(tmp_path / "no-crs.gpkg")
    gpd.GeoDataFrame(geometry=[shapely.LineString([(7, 46), (8, 47)])], crs=4326).to_file(
        tmp_path / "line.gpkg"
    )
    inside = {k: str(tmp_path / v) if "." in str(v) else v for k, v in asked.items()}
    with pytest.raises(ConfigError, match=message):
        write(wish(**inside))
    assert not (tmp_path / "my.toml").exists()


def test_a_small_region_works_with_n(wish: Make, tmp_path: Path) -> None:
    region = write_layer(tmp_path / "small.gpkg", [(7.4, 46.93, 7.44, 46.96)])
    config = written(wish(region=region, n=3))
    assert len(sample_locations(config.locations, config.patches.size_m).table) == 3
