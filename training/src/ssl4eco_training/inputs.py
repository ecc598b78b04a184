"""What an encoder is fed: bands, scale, NDVI, statistics; written into exported weights, checked at load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from ssl4eco_training.errors import CheckpointError

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A")
"""Of SSL4Eco: the 10 m and 20 m bands without the short-wave infrared."""
DN_SCALE = 255.0
"""SeCo-Eco was trained on DN / 255, DN being reflectance x 10 000."""
NDVI_SCALE = 10_000.0
"""NDVI, negative values as 0, times this stands beside the bands before the division by ``DN_SCALE``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """How stored DN become the channels of an encoder.

    ``bands`` in the order of the channels, then NDVI if ``ndvi``. ``scaling`` is *reference* (DN / 255, NDVI
    before the augmentation) or *standardised* (each channel less its ``mean`` over its ``std``, in DN, the
    NDVI's in NDVI x 10 000, NDVI after brightness and contrast). ``image_px`` is the side the encoder saw.
    """

    bands: tuple[str, ...] = BANDS
    ndvi: bool = True
    scaling: Literal["reference", "standardised"] = "reference"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    image_px: int = 224

    def __post_init__(self) -> None:
        if not self.bands or len(set(self.bands)) < len(self.bands):
            raise ValueError(f"bands must be different, at least one, got {self.bands}")
        if self.ndvi and not {"B04", "B08"} <= set(self.bands):
            raise ValueError(f"ndvi needs the bands B04 and B08, got {', '.join(self.bands)}")
        wanted = self.channels if self.scaling == "standardised" else 0
        if not len(self.mean) == len(self.std) == wanted or any(s <= 0 for s in self.std):
            raise ValueError(
                f"scaling = {self.scaling!r} takes {wanted} means and {wanted} positive deviations, got "
                f"{len(self.mean)} and {len(self.std)}"
            )

    @property
    def channels(self) -> int:
        """Channels of the encoder's input."""
        return len(self.bands) + self.ndvi

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Self:
        """What :meth:`as_dict` wrote. Raises CheckpointError when it is something else."""
        try:
            lists = {name: tuple(written[name]) for name in ("bands", "mean", "std")}
            return cls(**{**written, **lists})
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"the description of the input does not fit this version: {error}"
            ) from error
