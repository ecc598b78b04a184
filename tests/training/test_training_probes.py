"""k-NN and the linear probe separate what can be separated, and no more; the protocols differ as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from ssl4eco_training.knn import knn
from ssl4eco_training.probe import Labelled, Probe, ProbeParameters, Protocol, linear_probe


def blobs(n: int, apart: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Three classes around three corners, ``apart`` in deviations of the noise."""
    make = torch.Generator().manual_seed(seed)
    classes = torch.arange(n) % 3
    return apart * torch.eye(3, 8)[classes] + torch.randn(n, 8, generator=make), classes


def probed(apart: float, protocol: Protocol, **how: float) -> tuple[Probe, float]:
    """(probe, accuracy on others) of three classes."""
    (x, y), (vx, vy), (tx, ty) = blobs(240, apart, 1), blobs(60, apart, 2), blobs(300, apart, 3)
    probe = linear_probe(
        Labelled(features_ND=x, targets=y),
        Labelled(features_ND=vx, targets=vy),
        kind="single",
        outputs=3,
        protocol=protocol,
        seed=0,
        how=ProbeParameters(**how) if how else ProbeParameters(learning_rate=0.01),  # type: ignore[arg-type]
    )
    return probe, float((probe(tx).argmax(dim=1) == ty).float().mean())


@pytest.mark.parametrize("protocol", ["paper", "corrected"])
def test_the_probe_separates_what_is_separable_and_not_what_is_not(protocol: Protocol) -> None:
    assert probed(8.0, protocol)[1] > 0.98
    assert abs(probed(0.0, protocol)[1] - 1 / 3) < 0.12


def test_the_paper_reports_the_last_epoch_and_the_corrected_protocol_the_best() -> None:
    paper, _ = probed(0.5, "paper", learning_rate=0.05)
    corrected, _ = probed(0.5, "corrected", learning_rate=0.05)
    assert paper.epochs == paper.reported == paper.best + 10
    assert corrected.reported == corrected.best == corrected.epochs - 10
    assert not paper.capped
    x, y = blobs(60, 0.5, 2)

    def loss(probe: Probe) -> float:
        return float(functional.nll_loss(probe(x).log(), y))

    assert loss(corrected) < loss(paper)


def test_the_layer_of_the_best_epoch_is_that_of_a_probe_stopped_there() -> None:
    full, _ = probed(0.5, "corrected", learning_rate=0.05)
    short, _ = probed(0.5, "corrected", learning_rate=0.05, epochs=full.best)
    torch.testing.assert_close(full.layer.weight, short.layer.weight, rtol=0, atol=0)
    assert short.capped and not full.capped


def test_the_corrected_protocol_does_not_depend_on_the_scale_of_features() -> None:
    (x, y), (vx, vy) = blobs(240, 2, 1), blobs(60, 2, 2)

    def epochs_and_answer(scale: float, protocol: Protocol) -> tuple[int, torch.Tensor]:
        probe = linear_probe(
            Labelled(features_ND=scale * x, targets=y),
            Labelled(features_ND=scale * vx, targets=vy),
            kind="single",
            outputs=3,
            protocol=protocol,
            seed=0,
            how=ProbeParameters(epochs=30),
        )
        return probe.epochs, probe(scale * vx)

    torch.testing.assert_close(epochs_and_answer(1, "corrected"), epochs_and_answer(64, "corrected"))
    assert (epochs_and_answer(1, "paper")[1] - epochs_and_answer(64, "paper")[1]).abs().max() > 0.05


def test_a_probe_is_the_same_each_time() -> None:
    torch.manual_seed(1)
    first = probed(1.0, "paper")[0]
    torch.manual_seed(2)
    torch.testing.assert_close(first.layer.weight, probed(1.0, "paper")[0].layer.weight, rtol=0, atol=0)


def test_labels_and_values_are_learnt_too() -> None:
    make = torch.Generator().manual_seed(0)
    x = torch.randn(300, 6, generator=make)
    values = 40 + 100 * x[:, :2] + torch.randn(300, 2, generator=make)
    flags = (x[:, 2:5] > 0.3).float()
    for kind, targets in (("regression", values), ("multi", flags)):
        probe = linear_probe(
            Labelled(features_ND=x[:200], targets=targets[:200]),
            Labelled(features_ND=x[200:250], targets=targets[200:250]),
            kind=kind,  # type: ignore[arg-type]
            outputs=targets.shape[1],
            protocol="corrected",
            seed=0,
            how=ProbeParameters(learning_rate=0.02),
        )
        out = probe(x[250:])
        if kind == "multi":
            assert float(((out >= 0.5).float() == targets[250:]).float().mean()) > 0.9
        else:
            assert float((out - targets[250:]).abs().mean()) < 3


def test_a_probe_without_samples_is_refused() -> None:
    x, y = blobs(6, 1, 0)
    some, none = Labelled(features_ND=x, targets=y), Labelled(features_ND=x[:0], targets=y[:0])
    with pytest.raises(ValueError, match="got 6 and 0: take more samples"):
        linear_probe(some, none, kind="single", outputs=3, protocol="paper", seed=0)


def test_knn_follows_its_formula() -> None:
    rng = np.random.default_rng(0)
    train, query, targets = rng.normal(size=(12, 5)), rng.normal(size=(4, 5)), rng.normal(size=(12, 2))
    got = knn(*(torch.from_numpy(a).float() for a in (train, targets, query)), k=3).numpy()
    for q, row in zip(query, got, strict=True):
        cosine = [float(q @ t / (np.linalg.norm(q) * np.linalg.norm(t))) for t in train]
        nearest = sorted(range(12), key=lambda i: -cosine[i])[:3]
        weights = [math.exp(cosine[i] / 0.07) for i in nearest]
        expected = sum(w * targets[i] for w, i in zip(weights, nearest, strict=True)) / sum(weights)
        assert row == pytest.approx(expected, rel=1e-4)


def test_knn_separates_what_is_separable_and_not_what_is_not() -> None:
    for apart, low, high in ((10.0, 0.98, 1.0), (0.0, 0.2, 0.47)):
        (x, y), (tx, ty) = blobs(240, apart, 1), blobs(300, apart, 3)
        out = knn(x, functional.one_hot(y).float(), tx, k=10)
        torch.testing.assert_close(out.sum(dim=1), torch.ones(300))
        assert low <= float((out.argmax(dim=1) == ty).float().mean()) <= high


def test_knn_with_few_samples_takes_all_and_refuses_none() -> None:
    x = torch.eye(2)
    out = knn(x, torch.tensor([[0.0], [1.0]]), torch.zeros(1, 2), k=10)
    assert float(out) == pytest.approx(0.5)
    assert knn(x, torch.zeros(2, 1), torch.empty(0, 2), k=1).shape == (0, 1)
    with pytest.raises(ValueError, match=r"got 1, 0, 0\.07"):
        knn(x[:0], torch.zeros(0, 1), x, k=1)
