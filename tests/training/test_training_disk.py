"""What the file system refuses is told in one line, with the path and the way out."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from tests.small_disk import small_disk
from tests.training.globe_dataset import build_globe
from tests.training.run_dataset import ENCODER, build_run_dataset

from ssl4eco_training import claim, embed, evaluate, stage
from ssl4eco_training.__main__ import main as training_main
from ssl4eco_training.claim_pair import ARMS
from ssl4eco_training.stage import NOTE

MEANS = "tests.training.globe_encoders:means"
PAGE = 4096


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("twins")
    build_globe(folder / ARMS[0])
    build_globe(folder / ARMS[1], source="calendar", days_later=9)
    return {arm: folder / arm for arm in ARMS}


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """The only line on standard error."""
    (line,) = [text for text in capsys.readouterr().err.splitlines() if text]
    return line


def test_embeddings_that_do_not_fit_on_the_disk(
    twins: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is room for the parts, but not for the file that joins them."""

    def embedded(path: Path) -> int:
        return embed.main([str(twins[ARMS[0]]), "--encoder", MEANS, "--to", str(path)])

    assert embedded(tmp_path / "fits.parquet") == 0
    pages = (tmp_path / "fits.parquet").stat().st_size // PAGE
    assert pages >= 3
    with small_disk(tmp_path / "disk", f"size={(pages + 3) * PAGE}") as disk:
        path = disk / "e.parquet"
        assert embedded(path) == 1
        assert re.fullmatch(f"{path}: No space left on device; free some space, .*", told(capsys))
        assert [found.name for found in disk.iterdir()] == ["e.parquet.parts"]


def test_a_claim_on_a_disk_that_cannot_be_written(
    twins: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [*map(str, twins.values()), "--to", str(tmp_path / "claim.png"), "--folder"]
    with small_disk(tmp_path / "disk", "ro") as disk:
        assert claim.main([*given, str(disk / "runs")]) == 1
        assert re.fullmatch(f"{disk / 'runs'}: .*ead-only file system; .* choose another place", told(capsys))


def test_a_claim_whose_conditions_cannot_be_read(
    twins: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [*map(str, twins.values()), "--to", str(tmp_path / "claim.png"), "--folder"]
    (tmp_path / "runs" / claim.CONDITIONS).mkdir(parents=True)
    assert claim.main([*given, str(tmp_path / "runs")]) == 1
    assert f"{claim.CONDITIONS}: Is a directory; it is a folder: name a file" in told(capsys)


def test_a_place_to_stage_into_that_is_no_such_place(
    twins: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / NOTE).mkdir()
    assert stage.main([str(twins[ARMS[0]]), str(tmp_path)]) == 1
    assert f"{tmp_path / NOTE}: Is a directory; it is a folder" in capsys.readouterr().err


def test_a_dataset_that_may_not_be_read(
    twins: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build_globe(tmp_path / "closed")
    closed = tmp_path / "closed" / "patches.zarr" / "sentinel2"
    closed.chmod(0o000)
    try:
        if os.access(closed, os.R_OK):
            pytest.skip("this user may read everything: a folder without permission was NOT tried")
        root = str(tmp_path / "closed")
        assert stage.main([root, str(tmp_path / "to")]) == 1
        assert "ermission" in capsys.readouterr().err
        assert embed.main([root, "--encoder", MEANS, "--to", str(tmp_path / "e.parquet")]) == 1
        assert "ermission" in told(capsys)
        assert evaluate.main([root, "--encoder", MEANS]) == 1
        assert "ermission" in told(capsys)
    finally:
        closed.chmod(0o755)


def test_a_run_whose_checkpoint_does_not_fit_on_the_disk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = build_run_dataset(tmp_path / "dataset")
    given = ["debug_cpu", "--dataset", str(dataset), "--encoder", ENCODER, "--image_px", "24", "--batch", "8"]
    given += ["--queue", "64", "--bn_group", "2", "--dim", "16", "--steps", "2", "--tensorboard", "false"]
    with small_disk(tmp_path / "disk", f"size={4 * PAGE}") as disk:
        assert training_main([*given, "--folder", str(disk / "run")]) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert re.fullmatch(f"{disk}/run/checkpoints/.*: No space left on device; free some space, .*", last)
        assert not list((disk / "run" / "checkpoints").iterdir())
