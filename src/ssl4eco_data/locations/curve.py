"""Order of points along a Hilbert curve, so that neighbours on the ground are neighbours in the table.

Source of the bit operations: J. Skilling, Programming the Hilbert curve, AIP Conf. Proc. 707 (2004).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ssl4eco_data.types import FloatArray

_BITS = 24


def hilbert_index(lon_deg: FloatArray, lat_deg: FloatArray) -> npt.NDArray[np.int64]:
    """Position of each point along the curve over the lon/lat plane, int64; 360/2^24 degrees a step."""
    cells = 1 << _BITS
    x = np.clip((lon_deg + 180) / 360 * cells, 0, cells - 1).astype(np.int64)
    y = np.clip((lat_deg + 180) / 360 * cells, 0, cells - 1).astype(np.int64)
    index = np.zeros(len(x), np.int64)
    for bit in range(_BITS - 1, -1, -1):
        side = 1 << bit
        right, upper = (x & side) > 0, (y & side) > 0
        index += side * side * ((3 * right) ^ upper)
        mirrored = right & ~upper
        x, y = np.where(mirrored, cells - 1 - x, x), np.where(mirrored, cells - 1 - y, y)
        x, y = np.where(upper, x, y), np.where(upper, y, x)
    return index


def hilbert_order(
    lon_deg: FloatArray, lat_deg: FloatArray, location_id: Sequence[str]
) -> npt.NDArray[np.int64]:
    """Positions that sort points along the curve, ties by ``location_id``, int64."""
    return np.lexsort((np.asarray(location_id, str), hilbert_index(lon_deg, lat_deg)))
