"""A cloud model of the user's own as a further opinion on the patches that would be chosen.

Any function with the call of ``omnicloudmask.predict_from_array`` (Wright et al. 2025,
doi:10.1016/j.rse.2025.114694) serves, named in the configuration as ``package.module:function``. The project
does not depend on one.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ssl4eco_data.errors import ConfigError
from ssl4eco_data.imports import load_named
from ssl4eco_data.types import UInt16Array

MODEL_BANDS = ("B04", "B03", "B08")
"""Red, green and near infrared: what the model is shown, in this order."""
_COVERED = (1, 2, 3)


class CloudModel(Protocol):
    """Classes ``(1, y, x)`` of an image ``(3, y, x)`` float32 of DN, 0 = no data.

    0 clear, 1 thick cloud, 2 thin cloud, 3 cloud shadow; ``MODEL_BANDS`` at 10 m.
    """

    def __call__(self, image: npt.NDArray[np.float32], /) -> npt.NDArray[Any]: ...


def load_cloud_model(path: str) -> CloudModel:
    """The function at an import path ``package.module:function``. Raises ConfigError where there is none."""
    model = load_named(path, "scenes.cloud_model", "omnicloudmask:predict_from_array")
    if not callable(model):
        raise ConfigError(f"scenes.cloud_model = {path!r} must name a function, got {type(model).__name__}")
    return model  # type: ignore[no-any-return]


def covered_fraction(model: CloudModel, bands: dict[str, UInt16Array]) -> float:
    """Share of the patch's pixels with data that the model calls cloud or shadow; NaN without any.

    ``bands`` holds DN ``(y, x)`` of ``MODEL_BANDS``. Raises ValueError when the model's answer has another
    size than the patch.
    """
    image = np.stack([bands[name] for name in MODEL_BANDS])
    classes = np.asarray(model(image.astype(np.float32)))
    if classes.size != image[0].size:
        raise ValueError(
            f"the cloud model must answer one class a pixel, {image[0].shape}, got {classes.shape}"
        )
    seen = (image > 0).all(axis=0)
    return float(np.isin(classes.reshape(seen.shape)[seen], _COVERED).mean()) if seen.any() else float("nan")
