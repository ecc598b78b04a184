"""The contrastive loss against its literal form, and against golden values of the published code's form."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from ssl4eco_training import contrast
from ssl4eco_training.objectives.seco import seco_losses

GOLDEN_LOSSES = (4.07396, 6.471735, 8.125761)
"""Mean loss of each space, by the literal loop over the tensors of :func:`golden_tensors`."""
GOLDEN_GRADIENT_SUMS = (4.993051, 9.304268, 12.896542)
"""Sum of the absolute gradient of the sum of the losses, of each space's queries."""
GOLDEN_GRADIENTS = (
    (0.069973, 1.218622, 0.701777),
    (0.920813, -0.946219, -0.63735),
    (-1.366318, -0.846941, 1.54693),
)
"""The gradient of the first query of each space."""
TEMPERATURE = 0.2


def golden_tensors() -> tuple[Tensor, Tensor, Tensor]:
    """Queries ``(S, N, D)``, keys ``(S, J, N, D)`` and queue ``(S, K, D)``: sines, without random numbers."""
    n, d, k, s = 4, 3, 8, 3

    def waves(*shape: int) -> Tensor:
        count = int(torch.tensor(shape).prod())
        return torch.sin(torch.arange(1.0, 1 + count) * 0.7).reshape(shape)

    queries = functional.normalize(waves(s, n, d) + 0.3 * torch.arange(s)[:, None, None], dim=-1)
    turned = torch.cos(waves(s, s, n, d) * 3 + torch.arange(s)[None, :, None, None])
    queue = torch.sin(torch.arange(1.0, 1 + s * d * k) * 1.3).reshape(s, d, k)
    keys = functional.normalize(turned, dim=-1)
    return queries.requires_grad_(), keys, functional.normalize(queue, dim=1).mT


def literal(queries_SND: Tensor, keys_SJND: Tensor, queue_SKD: Tensor, temperature: float) -> Tensor:
    """``(S, N)`` losses, space by space, with all negatives beside each other."""
    losses = []
    for i, queries_ND in enumerate(queries_SND):
        negatives = [queue_SKD[i]]
        if i > 0:
            negatives += [keys_SJND[i, j] for j in range(len(keys_SJND)) if j != i]
        positive_N1 = (queries_ND * keys_SJND[i, i]).sum(dim=1, keepdim=True)
        logits = torch.cat([positive_N1, queries_ND @ torch.cat(negatives).T], dim=1) / temperature
        target = torch.zeros(len(logits), dtype=torch.long)
        losses.append(functional.cross_entropy(logits, target, reduction="none"))
    return torch.stack(losses)


def ours(queries_SND: Tensor, keys_SJND: Tensor, queue_SKD: Tensor, temperature: float) -> Tensor:
    return seco_losses(queries_SND, keys_SJND, keys_SJND, queue_SKD, temperature)[0]


def test_golden_losses_and_gradients() -> None:
    queries, keys, queue = golden_tensors()
    losses_S = ours(queries, keys, queue, TEMPERATURE).mean(dim=1)
    assert losses_S.tolist() == pytest.approx(GOLDEN_LOSSES, abs=2e-6)
    assert losses_S.sum().item() == pytest.approx(18.671455, abs=4e-6)
    (gradient,) = torch.autograd.grad(losses_S.sum(), queries)
    assert gradient.abs().sum(dim=(1, 2)).tolist() == pytest.approx(GOLDEN_GRADIENT_SUMS, abs=5e-6)
    torch.testing.assert_close(gradient[:, 0], torch.tensor(GOLDEN_GRADIENTS), atol=2e-6, rtol=0)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n=st.integers(1, 6),
    d=st.integers(1, 7),
    k=st.integers(1, 30),
    temperature=st.sampled_from([0.05, 0.2, 1.0]),
)
def test_parts_equal_the_literal_form(seed: int, n: int, d: int, k: int, temperature: float) -> None:
    random = torch.Generator().manual_seed(seed)

    def unit(*shape: int) -> Tensor:
        return functional.normalize(torch.randn(*shape, generator=random, dtype=torch.float64), dim=-1)

    queries, keys, queue = unit(3, n, d).requires_grad_(), unit(3, 3, n, d), unit(3, k, d)
    got, wanted = ours(queries, keys, queue, temperature), literal(queries, keys, queue, temperature)
    torch.testing.assert_close(got, wanted)
    weights = torch.randn(3, n, generator=random, dtype=torch.float64)
    slopes = [torch.autograd.grad((loss * weights).sum(), queries)[0] for loss in (got, wanted)]
    torch.testing.assert_close(*slopes)


def test_gradient_of_a_part_by_differences() -> None:
    queries = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    keys = torch.randn(2, 5, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda q: contrast.part(q, keys, 0.2).total, (queries,))


def test_keys_may_change_between_loss_and_gradient() -> None:
    queries, _keys, queue = golden_tensors()
    (wanted,) = torch.autograd.grad(contrast.part(queries, queue, TEMPERATURE).total.sum(), queries)
    total = contrast.part(queries, queue, TEMPERATURE).total.sum()
    queue.zero_()
    (got,) = torch.autograd.grad(total, queries)
    torch.testing.assert_close(got, wanted)


def test_nearest_says_whether_the_positive_beats_every_negative() -> None:
    queries, keys, queue = golden_tensors()
    _losses, nearest = seco_losses(queries, keys, keys, queue, TEMPERATURE)
    _losses, own = seco_losses(
        queries,
        queries[:, None].expand_as(keys) * torch.eye(3)[..., None, None],
        torch.zeros_like(keys),
        queue * 0.1,
        TEMPERATURE,
    )
    wanted = []
    for i in range(3):
        negatives = torch.cat([queue[i], *(keys[i, j] for j in range(3) if j != i and i > 0)])
        largest = (queries[i] @ negatives.T).max(dim=1).values
        wanted.append((queries[i] * keys[i, i]).sum(dim=1) > largest)
    assert torch.equal(nearest, torch.stack(wanted))
    assert own.all()


def test_large_logits_do_not_overflow() -> None:
    queries, keys, queue = golden_tensors()
    losses = ours(queries, keys, queue, 1e-3)
    assert torch.isfinite(losses).all()
