"""What workers share is made once, and nobody may change it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.sharing import made_once


def test_the_first_makes_it_and_the_others_wait_for_it(tmp_path: Path) -> None:
    makers: list[Path] = []

    def make(folder: Path) -> None:
        makers.append(folder)
        folder.mkdir()
        time.sleep(0.2)
        (folder / "whole").touch()

    def use(_: int) -> bool:
        with made_once(tmp_path / "shared", make) as folder:
            return (folder / "whole").exists()

    with ThreadPoolExecutor(4) as workers:
        assert all(workers.map(use, range(4)))
    assert makers == [tmp_path / "shared"]


def test_who_changes_what_is_shared_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match=r"all tests share what one of them changed: .*/shared/a"),
        made_once(tmp_path / "shared", Path.mkdir) as folder,
    ):
        (folder / "a").touch()
