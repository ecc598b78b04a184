"""A dataset, an encoder and objectives, small enough that a run of them takes seconds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ssl4eco_data.store import Layout, StoreParameters, create, write_block, write_coordinates, write_table
from ssl4eco_training.norm import GroupedBatchNorm2d
from ssl4eco_training.protocols import Loss
from ssl4eco_training.views import ViewPlan

SEASONS = ("greenup", "maturity", "senescence", "dormancy")
BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A")
SIZE_PX = 32


def build_run_dataset(
    root: Path,
    n: int = 24,
    *,
    bands: Sequence[str] = BANDS,
    seasons: Sequence[str] = SEASONS,
    seed: int = 0,
    validation: Sequence[int] = (-2, -1),
) -> Path:
    """A finished dataset of ``n`` locations; each has its own spectrum, which its seasons change a little.

    Those at the places ``validation`` are of that split, the others of ``train``.
    """
    layout = Layout(
        n_locations=n,
        seasons=tuple(seasons),
        size_m=SIZE_PX * 10.0,
        bands=tuple(bands),
        parameters=StoreParameters(shard_locations=8),
    )
    rng = np.random.default_rng(seed)
    ids = [f"{seed}-{i:03d}" for i in range(n)]
    create(root / "patches.zarr", layout)
    present = np.ones((n, len(seasons)), dtype=bool)
    splits = np.full(n, "train", dtype=object)
    splits[list(validation)] = "validation"
    for first in range(0, n, 8):
        rows = slice(first, min(first + 8, n))
        blocks = {a.name: _pixels(rng, a.dtype, (rows.stop - first, *a.shape[1:])) for a in layout.arrays}
        write_block(root / "patches.zarr", layout, first, blocks, present[rows])
    located = pd.DataFrame(
        {
            "location_id": ids,
            "lon": np.linspace(3, 4, n),
            "lat": np.linspace(50, 51, n),
            "epsg": np.full(n, 32631, dtype=np.int32),
            "west": 500_000.0 + 1000 * np.arange(n),
            "north": np.full(n, 5_600_000.0),
            "biome": pd.Series(["Mangroves"] * n, dtype="str"),
            "split": pd.Series(splits, dtype="str"),
            "weight": np.linspace(1, 2, n),
        }
    )
    write_table(root / "locations.parquet", located)
    write_coordinates(
        root / "patches.zarr",
        layout,
        locations=located,
        phenology=pd.DataFrame({"location_id": ids, "greenup_day": 100.0 + np.arange(n)}),
        choices=_choices(ids, seasons),
    )
    return root


def _pixels(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    if dtype == "uint8":
        return rng.integers(4, 6, shape).astype(dtype)
    place = rng.uniform(500, 4000, (shape[0], 1, *shape[2:-2], 1, 1))
    season = rng.uniform(0.8, 1.2, (*shape[:-2], 1, 1))
    return (place * season + rng.uniform(0, 300, shape)).astype(dtype)


def _choices(ids: Sequence[str], seasons: Sequence[str]) -> pd.DataFrame:
    rows = [
        {
            "location_id": location,
            "season": season,
            "scene_id": f"S2_{i}{j}",
            "time": pd.Timestamp(2020, 1 + 3 * j, 1 + i % 28, tz="UTC"),
            "clear_fraction": 0.9,
            "reason": "",
            "west_60m": 0.0,
            "north_60m": 0.0,
            "cycle_phase": j / 4,
            "failure": "",
        }
        for i, location in enumerate(ids)
        for j, season in enumerate(seasons)
    ]
    return pd.DataFrame(rows)


class Encoder(nn.Sequential):
    """Without batch norm, so that a sample does not depend on its neighbours."""

    features = 16

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.Conv2d(channels, 16, 4, 4),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(16, self.features),
        )


class EncoderInGroups(Encoder):
    """With batch norm in groups of two samples."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.insert(1, GroupedBatchNorm2d(16, 2))


class Drawing(nn.Module):
    """An objective that draws from torch's generator: two views of one image shall be alike."""

    images = 1
    views = (ViewPlan(image=0, augment=True), ViewPlan(image=0, augment=True))

    def __init__(self, make_encoder: object) -> None:
        super().__init__()
        self.encoder = make_encoder()  # type: ignore[operator]
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(self.encoder.features, 4))

    def forward(self, views: Sequence[Tensor]) -> Loss:
        one, other = (self.head(self.encoder(view)) for view in views)
        return Loss((one - other).square().mean(), {})

    def before_step(self) -> None:
        pass

    def after_step(self) -> None:
        pass


class Alike(Drawing):
    """The same without draws."""

    def __init__(self, make_encoder: object) -> None:
        super().__init__(make_encoder)
        self.head = nn.Linear(self.encoder.features, 4)


class Broken(Drawing):
    """An objective whose loss is no number."""

    def forward(self, views: Sequence[Tensor]) -> Loss:
        return Loss(super().forward(views).total * float("nan"), {})


class Greedy(Drawing):
    """An objective for which no memory is enough."""

    def forward(self, views: Sequence[Tensor]) -> Loss:
        raise torch.OutOfMemoryError("tried to allocate 1 EiB")


ENCODER = f"{__name__}:Encoder"


def weights_hash(path: Path) -> str:
    """SHA-256 of exported weights, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(load_file(path).items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()
