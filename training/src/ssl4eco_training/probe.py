"""The linear probe: one linear layer on frozen embeddings.

AdamW 1e-3, batches of 256, at most 1000 epochs, stopped when the validation loss has not fallen for 10. The
*paper* protocol reports the layer of the last epoch (ten epochs after the best) on features as they are; the
*corrected* one reports the best epoch, on features standardised by the training samples, so that the scale
of an encoder's features does not decide how far the probe gets.

Axes: N samples, D features, L classes, labels or targets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl4eco_training.metrics import Kind
from ssl4eco_training.random import uniform

Protocol = Literal["paper", "corrected"]
_STREAM = 43


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeParameters:
    """Of the training of the layer; ``patience`` in epochs."""

    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    batch: int = 256
    epochs: int = 1000
    patience: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """Features ``(N, D)`` float32 and targets: classes ``(N,)`` int64, else ``(N, L)`` float32."""

    features_ND: Tensor
    targets: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A trained layer and how it came about; epochs are counted from 1, ``reported`` is the layer's.

    ``capped``: the most epochs were reached before the validation loss stopped falling.
    """

    layer: nn.Linear
    kind: Kind
    centre_D: Tensor
    scale_D: Tensor
    target_centre_L: Tensor
    target_scale_L: Tensor
    epochs: int
    best: int
    reported: int
    capped: bool

    @torch.no_grad()
    def __call__(self, features_ND: Tensor) -> Tensor:
        """``(N, L)`` float32: probabilities of classes or labels, or values."""
        out_NL: Tensor = self.layer((features_ND - self.centre_D) / self.scale_D)
        if self.kind == "single":
            return out_NL.softmax(dim=1)
        return (
            out_NL.sigmoid() if self.kind == "multi" else out_NL * self.target_scale_L + self.target_centre_L
        )


def linear_probe(
    train: Labelled,
    validation: Labelled,
    *,
    kind: Kind,
    outputs: int,
    protocol: Protocol,
    seed: int,
    how: ProbeParameters | None = None,
) -> Probe:
    """The layer from features to ``outputs`` classes, labels or targets, by the protocol.

    The layer begins with zeros; batches come from counters, so a seed gives the same layer each time on a
    CPU. Targets of a regression are standardised by the training samples while it trains. Raises
    ``ValueError`` for no sample to train or validate on.
    """
    if not len(train.features_ND) or not len(validation.features_ND):
        raise ValueError(
            f"a probe needs samples to train and validate on, got {len(train.features_ND)} and "
            f"{len(validation.features_ND)}: take more samples or other folds"
        )
    how = how or ProbeParameters()
    probe = _begun(train, kind, outputs, protocol)
    return _trained(probe, _scaled(probe, train), _scaled(probe, validation), protocol, seed, how)


def _begun(train: Labelled, kind: Kind, outputs: int, protocol: Protocol) -> Probe:
    x_ND, y = train.features_ND, train.targets
    layer = nn.Linear(x_ND.shape[1], outputs, device=x_ND.device)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    plain = torch.zeros_like(x_ND[0]), torch.ones_like(x_ND[0])
    centre, scale = _moments(x_ND) if protocol == "corrected" else plain
    zeros, ones = x_ND.new_zeros(outputs), x_ND.new_ones(outputs)
    target_centre, target_scale = _moments(y) if kind == "regression" else (zeros, ones)
    return Probe(
        layer=layer,
        kind=kind,
        centre_D=centre,
        scale_D=scale,
        target_centre_L=target_centre,
        target_scale_L=target_scale,
        epochs=0,
        best=0,
        reported=0,
        capped=False,
    )


def _trained(
    probe: Probe, train: Labelled, validation: Labelled, protocol: Protocol, seed: int, how: ProbeParameters
) -> Probe:
    layer = probe.layer
    optimiser = torch.optim.AdamW(layer.parameters(), lr=how.learning_rate, weight_decay=how.weight_decay)
    lowest, best, epoch = float("inf"), 0, 0
    kept = {name: value.clone() for name, value in layer.state_dict().items()}
    for epoch in range(1, how.epochs + 1):
        for part in _batches(train.features_ND, epoch, seed, how.batch):
            optimiser.zero_grad(set_to_none=True)
            loss = _loss(probe, train.features_ND[part], train.targets[part])
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        with torch.no_grad():
            value = float(_loss(probe, validation.features_ND, validation.targets))
        if value < lowest:
            lowest, best = value, epoch
            kept = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
        if epoch - best >= how.patience:
            break
    if protocol == "corrected":
        layer.load_state_dict(kept)
    return Probe(
        layer=layer,
        kind=probe.kind,
        centre_D=probe.centre_D,
        scale_D=probe.scale_D,
        target_centre_L=probe.target_centre_L,
        target_scale_L=probe.target_scale_L,
        epochs=epoch,
        best=best,
        reported=best if protocol == "corrected" else epoch,
        capped=epoch - best < how.patience,
    )


def _loss(probe: Probe, x_ND: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy, the same of each label, or the squared error."""
    out_NL = probe.layer(x_ND)
    if probe.kind == "single":
        return functional.cross_entropy(out_NL, y)
    if probe.kind == "multi":
        return functional.binary_cross_entropy_with_logits(out_NL, y)
    return functional.mse_loss(out_NL, y)


def _batches(features_ND: Tensor, epoch: int, seed: int, batch: int) -> Iterator[Tensor]:
    """Places of the samples of each batch of an epoch, in an order of its own."""
    draws = uniform(seed, epoch, np.arange(len(features_ND), dtype=np.uint64), _STREAM, 1)[:, 0]
    order = torch.from_numpy(np.argsort(draws, kind="stable")).to(features_ND.device)
    yield from torch.split(order, batch)


def _scaled(probe: Probe, data: Labelled) -> Labelled:
    features_ND = (data.features_ND - probe.centre_D) / probe.scale_D
    targets = data.targets
    if probe.kind == "regression":
        targets = (targets - probe.target_centre_L) / probe.target_scale_L
    return Labelled(features_ND=features_ND, targets=targets)


def _moments(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each column; 1 where it does not vary."""
    std = values.std(dim=0, correction=0)
    return values.mean(dim=0), torch.where(std > 0, std, torch.ones_like(std))
