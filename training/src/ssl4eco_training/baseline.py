"""The random encoder that stands beside a judged one: its weights drawn anew, its batch norms calibrated.

A new batch norm takes every channel to have mean 0 and variance 1. Behind drawn weights that is wrong, more
with every layer: in ``eval`` mode such an encoder is another network than the one that training starts from.
So its batch norms get the statistics of some of the images that are judged, without their labels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from ssl4eco_data.store import read_small_arrays
from ssl4eco_training.embed import Pace, Source, embed_dataset, images_of
from ssl4eco_training.embeddings import Embeddings
from ssl4eco_training.encoders import Judged, random_twin
from ssl4eco_training.errors import TrainingError
from ssl4eco_training.random import uniform

IMAGES, _BATCH = 256, 64
_STREAM = 45


def random_embeddings(source: Source, of: Judged, seed: int, pace: Pace) -> Embeddings:
    """The embeddings of a source by the random twin of an encoder; they depend on source, encoder and seed.

    Raises TrainingError as :func:`encoders.random_twin` and :func:`embed.embed_dataset` do.
    """
    twin = random_twin(of, seed)
    calibrate(source, twin, seed, pace)
    return embed_dataset(source, twin, pace)


@torch.inference_mode()
def calibrate(source: Source, encoder: Judged, seed: int, pace: Pace) -> None:
    """Give batch norms the statistics of up to ``IMAGES`` images of a source, by chance from ``seed``.

    Each batch counts the same; everything else stays as in ``eval`` mode. Without batch norms nothing is
    read. Raises TrainingError when there are fewer than two images.
    """
    encoder.to(pace.device)
    modules = encoder.encoder.modules() if isinstance(encoder.encoder, torch.nn.Module) else ()
    norms = [m for m in modules if isinstance(m, _BatchNorm) and m.running_mean is not None]
    if not norms:
        return
    places = _chosen(source, seed)
    rates = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    for part in np.array_split(places, -(-len(places) // _BATCH)):
        pixels = source.reader.empty(len(part))
        source.reader.read_batch(part, pixels, pace.threads)
        encoder.encoder(images_of(source, encoder, pixels, pace.device))
    for norm, rate in zip(norms, rates, strict=True):
        norm.momentum = rate
        norm.eval()


def _chosen(source: Source, seed: int) -> npt.NDArray[np.int64]:
    """``(n, 2)`` row and season of images that there are, mixed."""
    present = ~np.isnat(read_small_arrays(source.root, ("time",))["time"])
    rows, seasons = np.nonzero(present[source.rows])
    if rows.size < 2:
        raise TrainingError(
            f"{source.root}: {rows.size} images of {source.rows.size} locations are too few for the random "
            "encoder: choose another split, or --no-random"
        )
    places = np.stack([source.rows[rows], seasons], axis=1).astype(np.int64)
    draws = uniform(seed, 0, (places[:, 0] * present.shape[1] + places[:, 1]).astype(np.uint64), _STREAM, 1)
    return places[np.argsort(draws[:, 0], kind="stable")[:IMAGES]]
