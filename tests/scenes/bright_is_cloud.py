"""A cloud model of the shape the project asks for: bright red is thick cloud, and nothing else is cloud."""

import numpy as np
import numpy.typing as npt

NOT_A_FUNCTION = 3


def classes(image: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Classes ``(1, y, x)`` of ``(3, y, x)`` red, green and near infrared DN."""
    return (image[:1] > 2000).astype(np.uint8)


def half(image: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """An answer of the wrong size."""
    return classes(image)[:, ::2]
