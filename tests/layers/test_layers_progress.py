"""The progress bar that pooch drives, and what the configuration says of a layer that is not there yet."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from file_server import serving
from rich.console import Console

from ssl4eco_data import config
from ssl4eco_data.errors import ConfigError
from ssl4eco_data.layers import Download
from ssl4eco_data.layers.progress import Bar


def shown(body: bytes, announced: bool, path: Path, *, terminal: bool) -> str:
    """What a person sees of a download."""
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    with serving(body) as server, Bar("a file", "bytes", console) as bar:
        server.announced = announced
        Download(server.url).bring(path, bar)
    return console.file.getvalue()


@pytest.mark.parametrize("announced", [True, False], ids=["with length", "without length"])
def test_a_terminal_shows_the_amount_and_a_file_shows_nothing(tmp_path, announced):
    body = bytes(1_500_000)
    text = shown(body, announced, tmp_path / "x", terminal=True)
    assert "a file" in text
    if announced:
        assert "1.5/1.5 MB" in text
    assert (tmp_path / "x").read_bytes() == body
    assert shown(body, announced, tmp_path / "y", terminal=False) == ""


def test_the_bar_counts_features():
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=100)
    with Bar("layer", "features", console) as bar:
        assert bar.total == 0
        bar.total = 847
        bar.update(25)
        bar.update(25)
        bar.close()
    assert "50/847 features" in " ".join(console.file.getvalue().split())
    assert bar.total == 847


def test_a_missing_layer_of_strata_names_the_command(tmp_path):
    text = (
        '[dataset]\nroot = "d"\n[period]\nimagery_start = 2020-01-01\nimagery_end = 2021-01-01\n'
        '[archive]\nkind = "stac"\nimagery = "https://example.org/s"\nvegetation = "https://example.org/v"\n'
        '[locations]\nstrata = "layers/none.zip"\n'
    )
    path = tmp_path / "my.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"layers/none\.zip; `ssl4eco fetch-layer` downloads the RESOLVE"):
        config.load(path)
    assert config.load(path, with_files=False).locations.strata == str(tmp_path / "layers" / "none.zip")
    path.write_text(text + 'tiles = "tiles.parquet"\n')
    (tmp_path / "layers").mkdir()
    (tmp_path / "layers" / "none.zip").touch()
    with pytest.raises(ConfigError, match=r"locations.tiles names .*tiles\.parquet$"):
        config.load(path)
