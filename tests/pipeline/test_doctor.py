"""``ssl4eco doctor`` on the embedded archive, and what it says of what is broken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ssl4eco_data.cli import app
from ssl4eco_data.errors import ArchiveError
from ssl4eco_data.pipeline.doctor import Check, _fix, describe_check
from tests.conftest import write_tiny_config

NAMES = ["configuration", "python", "gdal", "ssl4eco-data", "zarr", "numba", "rasterio"]


def doctor(config: Path, columns: int = 300) -> tuple[int, dict[str, str], str]:
    """(exit code, state of each check by its name, output)."""
    result = CliRunner(env={"COLUMNS": str(columns)}).invoke(app, ["doctor", str(config)])
    states = {
        line[8:22].strip(): line[:8].strip() for line in result.output.splitlines() if line[:1] in "ofn"
    }
    return result.exit_code, states, result.output


def test_a_healthy_configuration_passes(tmp_path: Path, tiny_archive: Path) -> None:
    code, states, text = doctor(write_tiny_config(tmp_path, tiny_archive))
    assert code == 0, text
    assert set(states.values()) == {"ok"}
    more = [
        "numba cache",
        "write access",
        "input files",
        "locations",
        "free disk",
        "imagery",
        "mask",
        "vegetation",
    ]
    assert list(states) == NAMES + more
    assert not (tmp_path / "dataset").exists()


def test_the_embedded_archive_need_not_be_there_yet(tmp_path: Path) -> None:
    code, states, text = doctor(write_tiny_config(tmp_path, tmp_path / "archive"))
    assert states["archive"] == "note"
    assert "the first build writes the embedded archive" in text
    assert not {"imagery", "locations"} & set(states)
    assert code == 0, text


def test_a_layer_that_is_not_there_is_named_once(tmp_path: Path, tiny_archive: Path) -> None:
    path = write_tiny_config(tmp_path, tiny_archive)
    path.write_text(path.read_text() + '\n[weights]\nmountains = "/absent/gmba.gpkg"\n')
    code, states, text = doctor(path)
    assert (code, states["input files"], states["archive"]) == (1, "failed", "note")
    assert text.count("gmba.gpkg") == 1
    assert "1 of these must be mended" in text


def test_a_list_of_images_is_read(tmp_path: Path, tiny_archive: Path) -> None:
    path = write_tiny_config(tmp_path, tiny_archive)
    (tmp_path / "images.csv").write_text("location_id,image_1\n")
    path.write_text(path.read_text() + '\n[scenes]\npolicy = "list"\nimages = "images.csv"\n')
    code, states, text = doctor(path)
    assert (code, states["input files"]) == (1, "failed")
    assert "no column image_id_1" in text


def test_a_lost_catalogue_fails_with_its_fix(tmp_path: Path, tiny_archive: Path) -> None:
    path = write_tiny_config(tmp_path, tiny_archive)
    path.write_text(path.read_text().replace("sentinel-2-l2a.json", "lost.json"))
    code, states, text = doctor(path)
    assert code == 1
    assert states["imagery"] == "failed"
    assert "lost.json" in text
    assert text.count("fix:") >= 1


def test_a_period_without_images_fails(tmp_path: Path, tiny_archive: Path) -> None:
    path = write_tiny_config(tmp_path, tiny_archive)
    head, tail = path.read_text().split("[period]")
    path.write_text(head + "[period]" + tail.replace("imagery_end = 2022-07-01", "imagery_end = 2027-07-01"))
    code, states, text = doctor(path)
    assert (code, states["imagery"]) == (1, "failed")
    assert "no image around" in text
    assert "mask" not in states
    assert states["vegetation"] == "ok"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_refuses_fails(tmp_path: Path, tiny_archive: Path) -> None:
    path = write_tiny_config(tmp_path, tiny_archive)
    tmp_path.chmod(0o500)
    try:
        assert doctor(path)[1]["write access"] == "failed"
    finally:
        tmp_path.chmod(0o700)


def test_a_root_below_a_file_fails(tmp_path: Path, tiny_archive: Path) -> None:
    path = write_tiny_config(tmp_path, tiny_archive)
    (tmp_path / "file").write_text("")
    path.write_text(path.read_text().replace('root = "dataset"', 'root = "file/dataset"'))
    code, states, text = doctor(path)
    assert (code, states["write access"]) == (1, "failed")
    assert "fix: choose another dataset.root" in text


def test_too_small_a_disk_fails(tmp_path: Path, tiny_archive: Path) -> None:
    path = write_tiny_config(tmp_path, tiny_archive)
    path.write_text(path.read_text() + "\n[plan]\ntables_kb = 1e15\n")
    assert doctor(path)[1]["free disk"] == "failed"


def test_an_unreadable_configuration_is_one_message(tmp_path: Path) -> None:
    code, states, text = doctor(tmp_path / "absent.toml")
    assert (code, states) == (1, {})
    assert "no configuration file" in text


def test_long_findings_are_wrapped_under_themselves() -> None:
    check = Check(name="imagery", state="failed", found="word " * 40, fix="mend it")
    lines = describe_check(check, 80)
    assert max(map(len, lines)) <= 80
    assert all(line.startswith(" " * 23) for line in lines[1:-1])
    assert lines[-1].strip() == "fix: mend it"


def test_cells_that_do_not_fit_the_patch_are_named(tmp_path: Path, tiny_archive: Path) -> None:
    path = write_tiny_config(tmp_path, tiny_archive)
    lines = [line for line in path.read_text().splitlines() if not line.startswith("vegetation =")]
    path.write_text("\n".join(lines).replace("[archive]", "[archive]\nvegetation_pixel_m = 130"))
    code, states, said = doctor(path)
    assert code == 1
    assert states["vegetation"] == "failed", said
    assert "130" in said


@pytest.mark.parametrize(
    ("message", "way_out"),
    [
        ("https://x answers HTTP 403: no", "the account may use the project"),
        ("no observation around 4030D_5408L", "otherwise"),
        ("HTTP 404 at https://x", "name what is there"),
        ("a place 14291 m off", "otherwise"),
        ("connection refused", "the address is right"),
    ],
)
def test_a_number_in_a_name_is_no_status(message: str, way_out: str) -> None:
    assert way_out in _fix(ArchiveError(message, transient=False), "otherwise")
