"""Which dataset it is: one text that weights, checkpoints and embeddings carry."""

from __future__ import annotations

from ssl4eco_data.store import Place, fingerprint, read_small_arrays
from ssl4eco_data.store.shard_array import group_attributes, patches_group


def dataset_fingerprint(root: str | Place) -> str:
    """SHA-256 (hexadecimal) of a dataset's locations, seasons, times of its images and side of its patches.

    A copy, a transcoded one and a staged training profile have the same. Raises ``StoreError`` where there is
    no finished dataset.
    """
    attributes = group_attributes(patches_group(root))
    arrays = read_small_arrays(root, ("location_id", "time"))
    return fingerprint(
        arrays["location_id"],
        arrays["time"].astype("int64"),
        attributes.get("seasons"),
        attributes.get("size_m"),
    )
