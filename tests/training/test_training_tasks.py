"""Tasks from the dataset itself and from label tables: who gets which label, who is left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.training.globe_dataset import BIOMES, N_LOCATIONS, SEASONS, build_globe

from ssl4eco_training.embeddings import Embeddings
from ssl4eco_training.errors import TrainingError
from ssl4eco_training.metrics import Kind
from ssl4eco_training.outside import LabelTable, nearest_rows, outside_task
from ssl4eco_training.tasks import Task, classes_task, labels_task, own_task, regression_task

EARTH_KM = 6371.0088


@pytest.fixture(scope="module")
def globe(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    root = tmp_path_factory.mktemp("globe") / "dataset"
    return root, build_globe(root)


def embedded(located: pd.DataFrame) -> Embeddings:
    """Two seasons of every location, whose vectors are its row and the season, in a mixed order."""
    n = len(located)
    made = Embeddings(
        location_id=np.repeat(located["location_id"].to_numpy().astype(str), 2),
        season=np.tile(np.array(SEASONS[:2]), n),
        lon_deg=np.repeat(located["lon"].to_numpy(), 2),
        lat_deg=np.repeat(located["lat"].to_numpy(), 2),
        vectors=np.stack([np.repeat(np.arange(n), 2), np.tile([0, 1], n)], axis=1).astype(np.float32),
        model="m",
        dataset="d",
    )
    return made.take(np.random.default_rng(0).permutation(2 * n))


def rows_of(task: Task) -> np.ndarray:
    return task.embeddings.vectors[:, 0].astype(int)


def test_own_tasks_have_the_labels_of_their_locations(globe: tuple[Path, pd.DataFrame]) -> None:
    root, located = globe
    table = embedded(located)
    biome = own_task("biome", root, table)
    assert biome.outputs == BIOMES and (biome.kind, biome.metric, biome.k) == ("single", "macro_f1", 10)
    got = np.array(biome.outputs)[biome.truth]
    assert got.tolist() == located["biome"].iloc[rows_of(biome)].tolist() and len(got) == N_LOCATIONS
    assert (biome.embeddings.vectors[:, 1] == 0.5).all()

    season = own_task("season", root, table)
    assert len(season.truth) == 2 * N_LOCATIONS and season.outputs == ("spring", "summer")
    assert (season.truth == season.embeddings.vectors[:, 1]).all()

    latitude = own_task("latitude", root, table)
    assert latitude.truth[:, 0] == pytest.approx(located["lat"].to_numpy()[rows_of(latitude)])


def test_greenup_is_an_angle_and_leaves_the_unknown_out(globe: tuple[Path, pd.DataFrame]) -> None:
    root, located = globe
    task = own_task("greenup", root, embedded(located))
    assert task.left_out == 1 and len(task.truth) == N_LOCATIONS - 1 and 40 not in rows_of(task)
    day = np.degrees(np.arctan2(task.truth[:, 0], task.truth[:, 1])) % 360 / 360 * 365.2425
    expected = np.array([140.0, 330.0, 60.0])[rows_of(task) % 3]
    assert np.abs(day - expected).max() <= 5.001
    assert np.hypot(*task.truth.T) == pytest.approx(1)


def test_tasks_that_cannot_be_judged_are_refused_with_the_way_out(globe: tuple[Path, pd.DataFrame]) -> None:
    root, located = globe
    table = embedded(located)
    with pytest.raises(TrainingError, match=r"ecoregion: 72 samples have no label, nothing .*--tasks"):
        own_task("ecoregion", root, table)
    with pytest.raises(TrainingError, match=r"no task 'biom'; there are biome, ecoregion, season"):
        own_task("biom", root, table)
    one = table.take(np.isin(table.location_id, ["G000", "G003"]))
    with pytest.raises(TrainingError, match="2 samples have the one class 'Boreal Forests'"):
        own_task("biome", root, one)
    stranger = table.take(table.location_id == "G000")
    stranger = Embeddings(
        location_id=np.array(["X", "Y"]),
        season=stranger.season,
        lon_deg=stranger.lon_deg,
        lat_deg=stranger.lat_deg,
        vectors=stranger.vectors,
        model="m",
        dataset="d",
    )
    with pytest.raises(TrainingError, match="has no location X: the embeddings are of another dataset"):
        own_task("biome", root, stranger)
    flat = np.zeros((len(table.season), 1))
    with pytest.raises(TrainingError, match=r"have the one value \[0.0\]"):
        regression_task("t", table, flat, ("a",), k=1)
    with pytest.raises(TrainingError, match="have no value"):
        regression_task("t", table, flat * np.nan, ("a",), k=1)
    known = np.ones(len(table.season), bool)
    with pytest.raises(TrainingError, match="all labels everywhere"):
        labels_task("t", table, {"a": known}, known, k=1)
    with pytest.raises(
        TrainingError, match=r"metrics macro_f1, micro_f1, accuracy and k .* got 'mean_r2', 3"
    ):
        classes_task("t", table, table.season, k=3, metric="mean_r2")


def shifted(located: pd.DataFrame, metres_north: float) -> pd.DataFrame:
    frame = located[["lon", "lat"]].copy()
    frame["lat"] += np.degrees(metres_north / 1000 / EARTH_KM)
    return frame


def test_labels_find_their_location_by_place(globe: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    _, located = globe
    path = tmp_path / "labels.csv"
    frame = shifted(located, 60).assign(
        temp=np.arange(N_LOCATIONS) * 1.5, prec=1.0 * np.arange(N_LOCATIONS) ** 2
    )
    frame.loc[7, "prec"] = np.nan
    frame.sample(frac=1, random_state=0).to_csv(path, index=False)
    table = LabelTable(path=path, columns=("temp", "prec"), kind="regression", name="CHELSA")
    task = outside_task(table, embedded(located))
    assert task.truth[:, 0] == pytest.approx(rows_of(task) * 1.5)
    assert task.left_out == 1 and task.k == 10 and task.metric == "mean_r2" and 7 not in rows_of(task)
    far = LabelTable(path=path, columns=("temp",), kind="regression", within_m=50)
    with pytest.raises(TrainingError, match=r"none of 72 locations has a row within 50 m; .*--within-m"):
        outside_task(far, embedded(located))


def test_labels_find_their_location_by_name(globe: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    _, located = globe
    path = tmp_path / "labels.parquet"
    frame = pd.DataFrame(
        {"location_id": located["location_id"], "class": (np.arange(N_LOCATIONS) % 4).astype(float)}
    )
    frame.loc[5, "class"] = np.nan
    frame.iloc[::-1].iloc[:60].to_parquet(path)
    task = outside_task(LabelTable(path=path, columns=("class",), kind="single", k=3), embedded(located))
    assert task.outputs == ("0", "1", "2", "3") and task.k == 3 and task.name == "labels"
    assert (task.truth == rows_of(task) % 4).all() and task.left_out == 12
    twice = pd.concat([frame, frame.iloc[:1]])
    twice.to_parquet(path)
    with pytest.raises(TrainingError, match="location_id G000 comes twice"):
        outside_task(LabelTable(path=path, columns=("class",), kind="single"), embedded(located))


def test_several_labels_come_as_text_or_as_columns(globe: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    _, located = globe
    texts = [["Eucalyptus, Pinus", "Pinus", None][i % 3] for i in range(N_LOCATIONS)]
    path = tmp_path / "eu_forest.csv"
    shifted(located, 0).assign(genus=texts).to_csv(path, index=False)
    task = outside_task(LabelTable(path=path, columns=("genus",), kind="multi"), embedded(located))
    assert task.outputs == ("Eucalyptus", "Pinus") and task.k == 5 and task.metric == "micro_f1"
    expected = np.stack([rows_of(task) % 3 == 0, np.ones(48, bool)], axis=1)
    assert (task.truth == expected).all() and task.left_out == 24

    flags = shifted(located, 0).assign(a=np.arange(N_LOCATIONS) % 2, b=1, c="x")
    flags.to_csv(path, index=False)
    task = outside_task(
        LabelTable(path=path, columns=("a", "b"), kind="multi", metric="micro_map"), embedded(located)
    )
    assert (task.truth[:, 0] == rows_of(task) % 2).all() and task.truth[:, 1].all()
    for columns, message in ((("b", "c"), "must hold numbers"), (("b", "lat"), "must hold 0 and 1")):
        with pytest.raises(TrainingError, match=message):
            outside_task(LabelTable(path=path, columns=columns, kind="multi"), embedded(located))


def test_tables_that_cannot_be_read_are_refused(globe: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    _, located = globe
    path = tmp_path / "t.csv"

    def asked(**changes: object) -> Task:
        values = {"path": path, "columns": ("a",), "kind": "single", **changes}
        return outside_task(LabelTable(**values), embedded(located))  # type: ignore[arg-type]

    with pytest.raises(TrainingError, match=r"there is no .*t\.csv"):
        asked()
    path.write_text("x,y\n1,2\n")
    with pytest.raises(TrainingError, match="has no column lon, lat, a; there are x, y"):
        asked()
    path.write_text("lon,lat,a\n10,20,u\n200,5,v\n")
    with pytest.raises(TrainingError, match=r"got \[200.0, 5.0\] in row 1"):
        asked()
    with pytest.raises(TrainingError, match="one label column, got a, b"):
        asked(columns=("a", "b"))
    with pytest.raises(TrainingError, match="a table needs label columns"):
        asked(columns=())


@given(st.integers(0, 10_000), st.sampled_from([100.0, 5_000.0, 90_000.0]))
@settings(max_examples=30)
def test_the_nearest_row_is_that_of_all_distances(seed: int, within_m: float) -> None:
    rng = np.random.default_rng(seed)
    centre = (179.9, 88.0) if seed % 2 else (10.0, 45.0)
    points, places = (
        (
            (centre[0] + rng.normal(0, 0.3, n) + 180) % 360 - 180,
            np.clip(centre[1] + rng.normal(0, 0.3, n), -90, 90),
        )
        for n in (25, 15)
    )
    x, y = (np.radians(a) for a in points)
    u, v = (np.radians(a)[:, None] for a in places)
    h = np.sin((y - v) / 2) ** 2 + np.cos(y) * np.cos(v) * np.sin((x - u) / 2) ** 2
    metres = 2000 * EARTH_KM * np.arcsin(np.sqrt(h))
    expected = np.where(metres.min(axis=1) <= within_m, metres.argmin(axis=1), -1)
    assert nearest_rows(points, places, within_m).tolist() == expected.tolist()


def test_real_index_files_are_read(shared_data: Path, globe: tuple[Path, pd.DataFrame]) -> None:
    """The reference's own files, rows of which stand where our locations would have been built."""
    folder = shared_data / "ssl4eco-index"
    for name, columns, kind, outputs in (
        ("climate_labels_50k.first40.csv", ("temp", "prec", "evap", "swb"), "regression", 4),
        ("euforest_labels_with_image_ids.first12.csv", ("genus",), "multi", 0),
        ("biomes_labels_with_image_ids.first20.csv", ("biome",), "single", 0),
    ):
        frame = pd.read_csv(folder / name)
        at = frame.rename_axis("i").reset_index().assign(location_id=lambda f: "P" + f["i"].astype(str))
        table = LabelTable(path=folder / name, columns=columns, kind=kind)  # type: ignore[arg-type]
        task = outside_task(table, embedded(at))
        assert len(task.truth) + task.left_out == len(frame)
        assert len(task.outputs) == outputs or (outputs == 0 and len(task.outputs) > 1)


@pytest.mark.parametrize(
    ("name", "kind", "k", "metric"),
    [
        ("BigEarthNet", "multi", 30, "micro_map"),
        ("clef", "single", 1, "micro_f1"),
        ("EU-Forest", "multi", 5, "micro_f1"),
        ("CAVM", "single", 20, "macro_f1"),
        ("chelsa", "single", 10, "macro_f1"),
        ("mine", "multi", 10, "micro_f1"),
    ],
)
def test_a_task_of_the_paper_has_its_neighbours_and_metric(
    name: str, kind: Kind, k: int, metric: str
) -> None:
    table = LabelTable(path=Path("x.csv"), columns=("a",), kind=kind, name=name)
    assert (table.neighbours, table.scored_by) == (k, metric)
