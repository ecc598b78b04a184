"""Any encoder that can be judged: exported weights, or what a function of yours returns.

``module:function`` is called without arguments and returns a mapping with exactly these settings:

- ``encoder``: a module or function from images ``(N, C, px, px)`` float32 to features ``(N, D)``;
- ``bands``: their names, in the order of the channels; ``ndvi`` (optional): whether NDVI follows them;
- ``units``: ``"DN"`` (reflectance x 10 000; NDVI, negative values as 0, x 10 000) or ``"reflectance"`` (both
  a 10 000th of that);
- ``normalisation``: ``None``, or a mapping from each band (and ``"NDVI"``) to its (mean, deviation) in those
  units;
- ``size_px``: the side of the images it takes. Patches are cut to their centre, or enlarged to it.
"""

from __future__ import annotations

import copy
import difflib
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ssl4eco_training.errors import TrainingError
from ssl4eco_training.imports import load_object
from ssl4eco_training.inputs import NDVI_SCALE, InputSpec
from ssl4eco_training.transforms import scaled
from ssl4eco_training.weights import MakeEncoder, load_encoder

NDVI = "NDVI"
WEIGHTS = ".safetensors"
_NEEDED = ("encoder", "bands", "units", "normalisation", "size_px")
_OPTIONAL = ("ndvi",)
_UNIT_SCALES = {"DN": 1.0, "reflectance": 1 / NDVI_SCALE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """An encoder with all it needs to be fed.

    ``model`` names it with the first digits of ``weights``, the SHA-256 of its ``state_dict`` (empty for a
    plain function). ``spec`` says bands and size; ``prepare`` takes images ``(N, C, px, px)`` in DN
    (:func:`transforms.channels_of`, cut to the size) to the encoder's input.
    """

    model: str
    weights: str
    encoder: Callable[[Tensor], Tensor]
    spec: InputSpec
    prepare: Normalise | AsTrained

    def identity(self) -> dict[str, Any]:
        """For JSON: all that was declared, and the weights. Two plain functions may have the same."""
        return {
            "model": self.model,
            "weights": self.weights,
            "input": self.spec.as_dict(),
            "prepare": asdict(self.prepare),
        }

    def to(self, device: torch.device) -> Judged:
        """Ready on a device, not training."""
        if isinstance(self.encoder, nn.Module):
            self.encoder.to(device).eval()
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalise:
    """Images in DN times ``scale``, less ``mean`` over ``std`` of each channel."""

    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, images_NCYX: Tensor) -> Tensor:
        mean, std = (
            torch.tensor(v, dtype=torch.float32, device=images_NCYX.device)[:, None, None]
            for v in (self.mean, self.std)
        )
        return (images_NCYX * self.scale - mean) / std


@dataclass(frozen=True, slots=True, kw_only=True)
class AsTrained:
    """The scaling of exported weights."""

    spec: InputSpec

    def __call__(self, images_NCYX: Tensor) -> Tensor:
        return scaled(images_NCYX, self.spec)


def judged(named: str, make: MakeEncoder | None = None) -> Judged:
    """The encoder of exported weights (``*.safetensors``) or of ``module:function``.

    ``make`` makes the encoder for a number of channels where the weights are of none of the built-in ones.

    Raises TrainingError for anything else, and for a setting that is missing, unused or cannot be meant;
    CheckpointError for weights that cannot be read.
    """
    if named.endswith(WEIGHTS):
        encoder, spec = load_encoder(Path(named), make=make)
        return _named(Path(named).stem, encoder, spec, AsTrained(spec=spec))
    if ":" not in named:
        raise TrainingError(
            f"--encoder {named}: give exported weights (*{WEIGHTS}) or module:function that returns an "
            "encoder"
        )
    return from_settings(named, load_object(named)())


def from_settings(named: str, settings: Any) -> Judged:
    """The encoder that a function's settings describe; raises TrainingError as :func:`judged`."""
    if not isinstance(settings, Mapping):
        raise TrainingError(
            f"{named} must return a mapping with {', '.join(_NEEDED)}, got {type(settings).__name__}"
        )
    _refuse_names(f"{named}:", settings, _NEEDED, _OPTIONAL)
    if not callable(settings["encoder"]):
        raise TrainingError(
            f"{named}: encoder must be a module or a function, got {settings['encoder']!r:.80}"
        )
    if settings["units"] not in _UNIT_SCALES:
        raise TrainingError(f"{named}: units must be DN or reflectance, got {settings['units']!r}")
    spec = _spec(named, settings)
    channels = (*spec.bands, *((NDVI,) if spec.ndvi else ()))
    mean, std = _moments(named, settings["normalisation"], channels)
    prepare = Normalise(scale=_UNIT_SCALES[settings["units"]], mean=mean, std=std)
    return _named(named, settings["encoder"], spec, prepare)


def random_twin(of: Judged, seed: int) -> Judged:
    """The same architecture with weights drawn anew: the baseline that has learnt nothing.

    Convolutions draw as in He et al. 2015 (fan out), other layers as they do when they are made; parameters
    of a module that cannot (``reset_parameters``) come from a normal distribution of deviation 0.02. Batch
    norms still lack statistics (:mod:`ssl4eco_training.baseline` gives them). Raises TrainingError for a
    plain function, which has no weights to draw.
    """
    if not isinstance(of.encoder, nn.Module):
        raise TrainingError(
            f"{of.model} is a function: there is no random encoder of its architecture (--no-random)"
        )
    twin = copy.deepcopy(of.encoder)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for module in twin.cpu().modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
            else:
                for parameter in module.parameters(recurse=False):
                    parameter.normal_(0.0, 0.02)
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return replace(of, model=f"random of {of.model}", weights=_digest(twin), encoder=twin)


def _named(
    name: str, encoder: Callable[[Tensor], Tensor], spec: InputSpec, prepare: Normalise | AsTrained
) -> Judged:
    weights = _digest(encoder)
    model = f"{name}@{weights[:12] or 'function'}"
    return Judged(model=model, weights=weights, encoder=encoder, spec=spec, prepare=prepare)


def _spec(named: str, settings: Mapping[str, Any]) -> InputSpec:
    bands, size_px, ndvi = settings["bands"], settings["size_px"], settings.get("ndvi", False)
    if isinstance(bands, str) or not all(isinstance(band, str) for band in bands):
        raise TrainingError(f"{named}: bands must be a list of names, got {bands!r:.80}")
    if not isinstance(size_px, int) or isinstance(size_px, bool) or size_px < 1 or not isinstance(ndvi, bool):
        raise TrainingError(
            f"{named}: size_px must be a whole number of at least 1 and ndvi a bool, got {size_px!r}, "
            f"{ndvi!r}"
        )
    try:
        return InputSpec(bands=tuple(bands), ndvi=ndvi, image_px=size_px)
    except ValueError as error:
        raise TrainingError(f"{named}: {error}") from error


def _moments(
    named: str, given: Any, channels: tuple[str, ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel; 0 and 1 without normalisation."""
    if given is None:
        return (0.0,) * len(channels), (1.0,) * len(channels)
    if not isinstance(given, Mapping):
        raise TrainingError(
            f"{named}: normalisation must be None or (mean, deviation) by band, got {given!r:.80}"
        )
    _refuse_names(f"{named}: normalisation:", given, channels, ())
    try:
        pairs = [(float(given[name][0]), float(given[name][1])) for name in channels if len(given[name]) == 2]
    except (TypeError, ValueError) as error:
        raise TrainingError(f"{named}: normalisation takes (mean, deviation) by band: {error}") from error
    if len(pairs) < len(channels) or any(std <= 0 for _, std in pairs):
        raise TrainingError(
            f"{named}: normalisation takes (mean, deviation above 0) by band, got {given!r:.200}"
        )
    return tuple(mean for mean, _ in pairs), tuple(std for _, std in pairs)


def _refuse_names(
    where: str, given: Mapping[Any, Any], needed: tuple[str, ...], optional: tuple[str, ...]
) -> None:
    unused = [str(name) for name in given if name not in (*needed, *optional)]
    missing = [name for name in needed if name not in given]
    if unused:
        near = difflib.get_close_matches(unused[0], (*needed, *optional), 1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        raise TrainingError(
            f"{where} nobody reads {unused[0]!r}{meant}; there are {', '.join((*needed, *optional))}"
        )
    if missing:
        raise TrainingError(f"{where} {', '.join(missing)} must be given")


def _digest(encoder: Any) -> str:
    """SHA-256 (hexadecimal) of the weights; empty for what has none."""
    state = encoder.state_dict() if isinstance(encoder, nn.Module) else {}
    if not state:
        return ""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
