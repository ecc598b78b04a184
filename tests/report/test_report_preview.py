"""``ssl4eco preview``: the seasons of one location and their dates on its curve."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from fabricated_dataset import fabricate
from matplotlib.figure import Figure
from PIL import Image
from typer.testing import CliRunner

from ssl4eco_data.cli import app
from ssl4eco_data.report import preview
from ssl4eco_data.report.dataset import main_array, read_dataset
from ssl4eco_data.report.images import INFRARED, TRUE_COLOUR, composite

BANDS = ("B02", "B03", "B04", "B08")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fabricate(tmp_path_factory.mktemp("preview") / "dataset")


def drawn(root: Path, row: int) -> Figure:
    array = main_array(root)
    assert array is not None
    return preview.figure_of(read_dataset(root), array, row)


def test_the_picture_is_written(root: Path, tmp_path: Path) -> None:
    to = tmp_path / "a.png"
    done = CliRunner().invoke(app, ["preview", str(root), "101U_11R", "--to", str(to)])
    assert done.exit_code == 0, done.output
    assert min(Image.open(to).size) > 600


def test_images_are_those_of_the_location_in_both_colourings(root: Path) -> None:
    array = main_array(root)
    assert array is not None
    images = [axes.images[0].get_array() for axes in drawn(root, 0).axes if axes.images]
    patches = [np.asarray(array[0, s]) for s in range(4)]
    wanted = [composite(p, BANDS, recipe) for p in patches for recipe in (TRUE_COLOUR, INFRARED)]
    assert len(images) == 8
    assert all(np.array_equal(a, b) for a, b in zip(images, wanted, strict=True))


def test_dates_stand_above_the_images_and_on_the_curve(root: Path) -> None:
    figure = drawn(root, 0)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["spring 2020-04-20", "summer 2020-07-14", "autumn 2020-10-07", "winter 2020-12-31"]
    curve = figure.axes[-1]
    marked = {
        line.get_label(): f"{line.get_xdata()[0]:%Y-%m-%d}"
        for line in curve.lines
        if len(line.get_xdata()) == 2 and line.get_label() in ("spring", "summer", "autumn", "winter")
    }
    assert sorted(f"{season} {day}" for season, day in marked.items()) == sorted(titles)
    assert "dates ± 1 sigma" in curve.get_legend_handles_labels()[1]


def test_a_missing_season_says_why(root: Path) -> None:
    figure = drawn(root, 1)
    assert [text.get_text() for axes in figure.axes for text in axes.texts] == ["all low sun"] * 2
    assert sum(bool(axes.images) for axes in figure.axes) == 6


def test_without_a_series_the_images_stay(root: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    shutil.rmtree(copy / "phenology")
    assert [text.get_text() for text in drawn(copy, 0).axes[-1].texts] == ["no vegetation series"]


def test_errors_tell_the_way_out(root: Path, tmp_path: Path) -> None:
    def says(code: int, *arguments: str) -> str:
        done = CliRunner().invoke(app, ["preview", *arguments])
        assert done.exit_code == code, done.output
        return done.output

    to = str(tmp_path / "b.png")
    unknown = says(1, str(root), "100U_10", "--to", to)
    assert "has no location '100U_10'; it has 100U_10R," in unknown
    assert "must name a .png file" in says(2, str(root), "100U_10R", "--to", "b.jpg")
    assert "lies in no folder" in says(2, str(root), "100U_10R", "--to", str(tmp_path / "no" / "b.png"))
    assert "error: " in says(1, str(tmp_path / "nowhere"), "100U_10R", "--to", to)
    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    shutil.rmtree(copy / "patches.zarr")
    assert "has no patches yet: `ssl4eco build CONFIG` makes them" in says(
        1, str(copy), "100U_10R", "--to", to
    )
    assert not Path(to).exists()


def test_help_has_an_example() -> None:
    assert "ssl4eco preview data/demo" in " ".join(
        CliRunner().invoke(app, ["preview", "--help"]).output.split()
    )
