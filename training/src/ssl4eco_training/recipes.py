"""Recipes: all that a run depends on, as one frozen value. Functions make the known ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from ssl4eco_training.errors import RecipeError
from ssl4eco_training.inputs import BANDS


@dataclass(frozen=True, slots=True)
class About:
    """One line for ``--help`` (with the unit), and the bounds of a number, both included."""

    text: str
    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A run. Defaults are SeCo-Eco's; raises RecipeError for a value that cannot be meant."""

    dataset: Annotated[str, About("folder or address of the dataset")]
    folder: Annotated[str, About("folder of the run: checkpoints, logs, weights; one that has any goes on")]
    split: Annotated[str, About("split to train on; empty: all locations")] = "train"
    weighted: Annotated[bool, About("draw locations by their weight instead of each once an epoch")] = False
    objective: Annotated[str, About("seco, moco, or module:name of your own")] = "seco"
    encoder: Annotated[str, About("resnet18, resnet34, resnet50, or module:name of your own")] = "resnet50"
    mode: Annotated[
        Literal["parity", "corrected"], About("parity: as SeCo-Eco was trained; corrected: defects mended")
    ] = "parity"
    bands: Annotated[tuple[str, ...], About("bands in the order of the channels, with commas")] = BANDS
    ndvi: Annotated[bool, About("NDVI as one more channel")] = True
    image_px: Annotated[int, About("side of a view, px", 8, 4096)] = 224
    dim: Annotated[int, About("features of an embedding", 2, 65536)] = 128
    queue: Annotated[int, About("keys in each queue; a multiple of batch", 1)] = 65536
    temperature: Annotated[float, About("of the contrast", 1e-4, 100)] = 0.2
    twin_momentum: Annotated[float, About("share of the twin that stays at each step (EMA)", 0, 0.999999)] = (
        0.999
    )
    bn_group: Annotated[int, About("samples of a group of batch norm in corrected mode", 2)] = 32
    batch: Annotated[int, About("locations of a step, over all processes and micro-batches", 1)] = 256
    accumulate: Annotated[int, About("micro-batches of a step", 1)] = 1
    epochs: Annotated[float, About("passes over the split", 0)] = 100.0
    steps: Annotated[int, About("steps instead of epochs; 0: by epochs", 0)] = 0
    learning_rate: Annotated[float, About("of SGD", 0)] = 0.03
    sgd_momentum: Annotated[float, About("of SGD", 0, 1)] = 0.9
    weight_decay: Annotated[float, About("of SGD", 0)] = 1e-4
    schedule: Annotated[Literal["constant", "cosine"], About("of the learning rate")] = "constant"
    warmup_epochs: Annotated[float, About("epochs in which the learning rate rises from 0", 0)] = 0.0
    precision: Annotated[Literal["fp32", "bf16", "fp16"], About("of the encoder's arithmetic")] = "fp32"
    channels_last: Annotated[bool, About("memory order of images and weights")] = False
    compile: Annotated[bool, About("compile the encoder (minutes at the start)")] = False
    device: Annotated[Literal["auto", "cpu", "cuda"], About("auto: the GPU where there is one")] = "auto"
    threads: Annotated[int, About("threads of each process that read patches", 1, 256)] = 4
    ahead: Annotated[int, About("batches read ahead", 1, 64)] = 3
    seed: Annotated[int, About("of every draw", 0, 2**63 - 1)] = 0
    log_every: Annotated[int, About("steps between two lines of the log", 1)] = 20
    save_every: Annotated[int, About("steps between two checkpoints", 1)] = 1000
    keep: Annotated[int, About("newest checkpoints that are kept", 1)] = 2
    keep_every: Annotated[int, About("steps between checkpoints that are kept for good; 0: none", 0)] = 0
    tensorboard: Annotated[bool, About("write TensorBoard files into the run folder")] = True
    collapse_bound: Annotated[
        float, About("alarm when the embeddings' deviation is below this share of 1/sqrt(dim)", 0, 1)
    ] = 0.25

    def __post_init__(self) -> None:
        for name, value in self.as_dict().items():
            check_value(name, value)
        if len(set(self.bands)) < len(self.bands):
            raise RecipeError(f"bands must be different, got {','.join(self.bands)!r}")
        if not self.bands or (self.ndvi and not {"B04", "B08"} <= set(self.bands)):
            raise RecipeError(
                f"bands must be at least one, and with ndvi B04 and B08 among them, got "
                f"{','.join(self.bands)!r}; add them or set --ndvi false"
            )
        if self.batch % self.accumulate:
            raise RecipeError(
                f"batch = {self.batch} does not part into accumulate = {self.accumulate} micro-batches"
            )
        if self.queue % self.batch:
            low = self.queue // self.batch * self.batch
            near = " or ".join(str(n) for n in (low, low + self.batch) if n)
            raise RecipeError(
                f"queue = {self.queue} is no multiple of batch = {self.batch}, so keys would stay for "
                f"different numbers of steps: --queue {near}"
            )

    def as_dict(self) -> dict[str, Any]:
        """Field by field."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is known of a field: its type (without ``Annotated``), line and bounds."""

    kind: Any
    about: About


@cache
def entries() -> Mapping[str, Entry]:
    """Every field of :class:`Recipe` by name, in order."""
    hints = get_type_hints(Recipe, include_extras=True)
    parts = {f.name: get_args(hints[f.name]) for f in fields(Recipe)}
    return {name: Entry(kind=kind, about=about) for name, (kind, about) in parts.items()}


def check_value(name: str, value: object) -> None:
    """Raise RecipeError when a field cannot have this value; the message has both and what is allowed."""
    entry = entries()[name]
    if get_origin(entry.kind) is Literal:
        if value not in get_args(entry.kind):
            raise RecipeError(f"{name} must be one of {', '.join(get_args(entry.kind))}, got {value!r}")
        return
    good = {
        int: isinstance(value, int) and not isinstance(value, bool),
        float: isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value),
        bool: isinstance(value, bool),
        str: isinstance(value, str),
    }.get(entry.kind, isinstance(value, tuple) and all(isinstance(part, str) for part in value))
    if not good:
        raise RecipeError(f"{name} must be {kind_name(entry.kind)}, got {value!r}")
    if isinstance(value, int | float) and not entry.about.low <= value <= entry.about.high:
        raise RecipeError(f"{name} must be {bounds_name(entry.about)}, got {value}")


def kind_name(kind: Any) -> str:
    """A type in a user's words."""
    if get_origin(kind) is Literal:
        return " | ".join(get_args(kind))
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return words.get(kind, "names with commas between them")


def bounds_name(about: About) -> str:
    """The bounds in words."""
    if about.high == math.inf:
        return f"at least {about.low:g}"
    return f"between {about.low:g} and {about.high:g}"


def debug_cpu() -> Recipe:
    """The embedded dataset for pretraining and a small encoder: minutes on two cores.

    The queue is shorter than an epoch, so that few keys of the same location are among the negatives. The
    twin is slow, although the run is short: where keys change quickly, positives are told from the queue by
    their age alone, and embeddings become one.
    """
    return Recipe(
        dataset="data/demo-pretrain",
        folder="data/runs/debug_cpu",
        encoder="resnet18",
        mode="corrected",
        bn_group=8,
        image_px=48,
        queue=64,
        batch=32,
        epochs=100,
        twin_momentum=0.99,
        learning_rate=0.02,
        schedule="cosine",
        warmup_epochs=10,
        device="cpu",
        threads=1,
        save_every=100,
    )


def seco_eco() -> Recipe:
    """SeCo-Eco as its authors trained it, on one GPU: parity mode, constant learning rate, fp32."""
    return Recipe(dataset="data/ssl4eco", folder="data/runs/seco_eco", threads=8, ahead=4)


def moco_eco() -> Recipe:
    """MoCo-Eco as its authors trained it, on one GPU: one space, cosine schedule, fp32."""
    return Recipe(
        dataset="data/ssl4eco",
        folder="data/runs/moco_eco",
        objective="moco",
        schedule="cosine",
        threads=8,
        ahead=4,
    )


def seco_eco_8gpu() -> Recipe:
    """SeCo on eight GPUs at their speed: corrected mode, bf16, batch 2048 (learning rate as its root)."""
    return Recipe(
        dataset="data/ssl4eco",
        folder="data/runs/seco_eco_8gpu",
        mode="corrected",
        batch=2048,
        learning_rate=0.03 * math.sqrt(8),
        schedule="cosine",
        warmup_epochs=5,
        precision="bf16",
        channels_last=True,
        compile=True,
        threads=8,
        ahead=4,
    )


RECIPES: Mapping[str, Callable[[], Recipe]] = {
    made.__name__: made for made in (debug_cpu, seco_eco, moco_eco, seco_eco_8gpu)
}
