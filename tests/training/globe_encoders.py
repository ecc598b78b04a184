"""Encoders of one's own, as ``module:function``."""

from __future__ import annotations

from typing import Any

import torch
from tests.training.globe_dataset import BANDS
from torch import Tensor, nn


class Means(nn.Module):
    """The mean of each channel, mixed by weights that are the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Linear(channels, channels)
        nn.init.eye_(self.mix.weight)
        nn.init.zeros_(self.mix.bias)

    def forward(self, images_NCYX: Tensor) -> Tensor:
        mixed: Tensor = self.mix(images_NCYX.mean(dim=(2, 3)))
        return mixed


def means() -> dict[str, Any]:
    """Means of the bands, in reflectance less a mean that lies between the biomes."""
    return {
        "encoder": Means(len(BANDS)),
        "bands": BANDS,
        "units": "reflectance",
        "normalisation": dict.fromkeys(BANDS, (0.4, 0.2)),
        "size_px": 16,
    }


def noise() -> dict[str, Any]:
    """Knows nothing: numbers from the last digits of the first pixel."""

    def encode(images_NCYX: Tensor) -> Tensor:
        return torch.frac(images_NCYX[:, :, 0, 0] * 0.137)

    return {**means(), "encoder": encode, "units": "DN", "normalisation": None}


def broken() -> dict[str, Any]:
    """Gives no numbers."""
    return {**means(), "encoder": lambda images_NCYX: images_NCYX.mean(dim=(2, 3)) / 0}


def unpooled() -> dict[str, Any]:
    """Gives a feature map."""
    return {**means(), "encoder": lambda images_NCYX: images_NCYX}


def lacking() -> dict[str, Any]:
    """Wants a band that the dataset lacks."""
    return {**means(), "bands": ("B02", "B12"), "normalisation": None}


def coarse() -> dict[str, Any]:
    """A mapping without the needed settings."""
    return {"encoder": Means(1)}
