"""Batches come to the device in order and none too many are asked for; one is on its way ahead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.training.run_dataset import build_run_dataset

from ssl4eco_data.errors import StoreError
from ssl4eco_training.batch import Batch
from ssl4eco_training.inputs import InputSpec
from ssl4eco_training.loader import SeasonLoader
from ssl4eco_training.upload import Arrival, one_ahead, uploaded

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_run_dataset(tmp_path_factory.mktemp("upload") / "dataset")


def opened(root: Path, start: int = 0, *, pin: bool = False) -> SeasonLoader:
    return SeasonLoader(
        str(root), batch=4, images=2, views=1, spec=InputSpec(image_px=16), start=start, pin=pin
    )


class Sender:
    """Notes what is sent and what arrives, by position."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int]] = []

    def __call__(self, batch: Batch) -> Arrival:
        self.events.append(("sent", batch.position))

        def arrive() -> Batch:
            self.events.append(("here", batch.position))
            return batch

        return arrive


def positions(batches: Iterator[Batch]) -> list[int]:
    return [batch.position for batch in batches]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_no_batch_is_asked_for_beyond_the_count(root: Path, count: int) -> None:
    with opened(root, start=8) as loader:
        assert positions(uploaded(loader, CPU, count)) == [12 + 4 * i for i in range(count)]
        assert next(loader).position == 12 + 4 * count


def test_each_is_sent_before_the_one_ahead_of_it_is_given(root: Path) -> None:
    sender = Sender()
    with opened(root) as loader:
        three = [next(loader) for _ in range(3)]
    assert positions(one_ahead(three, sender)) == [4, 8, 12]
    assert sender.events == [
        ("sent", 4), ("sent", 8), ("here", 4), ("sent", 12), ("here", 8), ("here", 12),
    ]  # fmt: skip


def test_one_batch_alone_and_none(root: Path) -> None:
    with opened(root) as loader:
        assert positions(one_ahead([next(loader)], Sender())) == [4]
    assert positions(one_ahead([], Sender())) == []


def test_an_error_of_the_loader_comes_through(root: Path) -> None:
    def damaged() -> Iterator[Batch]:
        with opened(root) as loader:
            yield from (next(loader), next(loader))
        raise StoreError("chunk 3 is damaged")

    batches = one_ahead(damaged(), Sender())
    assert next(batches).position == 4
    with pytest.raises(StoreError, match="chunk 3"):
        next(batches)


def test_a_loader_that_is_closed_ends_it_with_the_batches_that_were_sent(root: Path) -> None:
    loader, sender = opened(root), Sender()
    batches = one_ahead(loader, sender)
    assert next(batches).position == 4
    loader.close()
    assert positions(batches) == [8]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_all_pixels_are_there_while_another_stream_copies(root: Path) -> None:
    device = torch.device("cuda", 0)
    with opened(root) as loader:
        wanted = [next(loader).pixels["r10"].float().sum().item() for _ in range(40)]
    with opened(root, pin=True) as loader:
        sums = [batch.pixels["r10"].float().sum() for batch in uploaded(loader, device, 40)]
    assert [value.item() for value in sums] == pytest.approx(wanted, rel=1e-5)
