"""The rings of keys, and the slow twins."""

from __future__ import annotations

import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ssl4eco_training.norm import GroupedBatchNorm2d
from ssl4eco_training.queues import KeyQueue
from ssl4eco_training.twins import move_twin, twin_of


def numbered(start: int, count: int) -> Tensor:
    """Keys ``(2, count, 1)`` that carry their number."""
    return (
        torch.arange(start, start + count).float()[None, :, None] * torch.tensor([1.0, -1.0])[:, None, None]
    )


@settings(max_examples=50, deadline=None)
@given(size=st.integers(1, 12), counts=st.lists(st.integers(1, 12), max_size=8))
def test_the_queue_holds_the_latest_keys(size: int, counts: list[int]) -> None:
    queue, before = KeyQueue(2, size, 1), 0
    at_first = queue.keys_SKD[0, :, 0].clone()
    for count in (c for c in counts if c <= size):
        queue.put(numbered(before, count))
        before += count
    wanted = {n % size: float(n) for n in range(before)}
    held = queue.keys_SKD[0, :, 0].tolist()
    assert held == [wanted.get(place, at_first[place].item()) for place in range(size)]
    if before >= size:
        assert torch.equal(queue.keys_SKD[1], -queue.keys_SKD[0])
    assert (queue.written, queue.pointer) == (before, before % size)
    assert queue.filled(torch.device("cpu")).item() == pytest.approx(min(1, before / size))


def test_keys_are_written_in_place() -> None:
    queue = KeyQueue(2, 8, 1)
    where = queue.keys_SKD.data_ptr()
    queue.put(numbered(0, 5))
    queue.put(numbered(5, 5))
    assert queue.keys_SKD.data_ptr() == where


def test_a_resumed_queue_goes_on_where_it_stopped() -> None:
    queue, other = KeyQueue(2, 7, 1), KeyQueue(2, 7, 1, seed=5)
    queue.put(numbered(0, 5))
    written = io.BytesIO()
    torch.save(queue.state_dict(), written)
    written.seek(0)
    other.load_state_dict(torch.load(written, weights_only=True))
    for one in (queue, other):
        one.put(numbered(5, 4))
    assert other.written == queue.written == 9
    assert torch.equal(other.keys_SKD, queue.keys_SKD)


def test_first_keys_are_of_unit_length_and_the_same_everywhere() -> None:
    torch.manual_seed(1)
    queue = KeyQueue(3, 20, 8)
    torch.manual_seed(2)
    assert torch.equal(queue.keys_SKD, KeyQueue(3, 20, 8).keys_SKD)
    torch.testing.assert_close(queue.keys_SKD.norm(dim=-1), torch.ones(3, 20))


def test_a_batch_larger_than_the_queue_is_refused() -> None:
    with pytest.raises(ValueError, match="has 9 samples but the queue holds 8"):
        KeyQueue(2, 8, 1).put(numbered(0, 9))
    with pytest.raises(ValueError, match="at least 1, got 3, 0, 2"):
        KeyQueue(3, 0, 2)


def test_a_twin_moves_by_the_momentum_and_keeps_its_buffers() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), GroupedBatchNorm2d(4, 2))
    twin = twin_of(module)
    assert not any(parameter.requires_grad for parameter in twin.parameters())
    torch.testing.assert_close(twin.state_dict(), module.state_dict())
    before = {name: value.clone() for name, value in twin.named_parameters()}
    buffers = {name: value.clone() for name, value in twin.named_buffers()}
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1.0)
    module(torch.randn(4, 3, 8, 8))
    move_twin(twin, module, 0.9)
    for name, value in twin.named_parameters():
        torch.testing.assert_close(value, before[name] + 0.1)
    assert all(torch.equal(value, buffers[name]) for name, value in twin.named_buffers())
