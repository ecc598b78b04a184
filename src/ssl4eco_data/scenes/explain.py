"""Every candidate with its scores and verdict, as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from ssl4eco_data.scenes.candidates import Candidate, in_order
from ssl4eco_data.scenes.choice import Choice
from ssl4eco_data.scenes.rules import SceneRules
from ssl4eco_data.scenes.verdicts import verdicts_and_opinions

_STATS = (
    "clear_fraction",
    "snow_fraction",
    "shadow_fraction",
    "cloud_fraction",
    "missing_fraction",
    "blue_q95",
    "haze_q50",
    "score_clear_fraction",
)
_DTYPES: Mapping[str, str] = {
    "season": "str",
    "year": "int16",
    "scene_id": "str",
    "acquisition": "str",
    "tile": "str",
    "time": "datetime64[ms, UTC]",
    "days_from_middle": "int16",
    "scene_cloud_fraction": "float64",
    "sun_elevation_deg": "float64",
    "judged": "bool",
    **dict.fromkeys((*_STATS, "model_fraction"), "float64"),
    "second_opinion": "str",
    "verdict": "str",
    "failure": "str",
    "supersedes": "str",
}


def explain(candidates: Sequence[Candidate], rules: SceneRules, choice: Mapping[str, Choice]) -> pd.DataFrame:
    """One row per candidate, by season and best first: scores and a verdict (``chosen`` for the choices).

    The columns are those of ``scenes/candidates`` in ``docs/architecture.md`` without the location;
    scores of scenes that nobody judged are NaN. The scores repeat :class:`PatchStats`.
    """
    ordered = in_order(candidates, rules)
    chosen = {c.candidate.key for c in choice.values() if c.candidate}
    rows = [
        _row(candidate, "chosen" if candidate.key in chosen else verdict, opinion or "")
        for candidate, (verdict, opinion) in zip(ordered, verdicts_and_opinions(ordered, rules), strict=True)
    ]
    frame = pd.DataFrame(rows, columns=list(_DTYPES))
    frame["time"] = pd.to_datetime(frame["time"], utc=True)
    return frame.astype(dict(_DTYPES))


def _row(candidate: Candidate, verdict: str, opinion: str) -> dict[str, object]:
    scene, stats = candidate.scene, candidate.stats
    return {
        "season": candidate.season,
        "year": candidate.year,
        "scene_id": scene.scene_id,
        "acquisition": scene.acquisition,
        "tile": scene.tile,
        "time": scene.time,
        "days_from_middle": candidate.days_from_middle,
        "scene_cloud_fraction": scene.cloud_fraction,
        "sun_elevation_deg": scene.sun_elevation_deg,
        "judged": stats is not None,
        **{name: getattr(stats, name) if stats else math.nan for name in _STATS},
        "model_fraction": math.nan if candidate.model_fraction is None else candidate.model_fraction,
        "second_opinion": opinion,
        "verdict": verdict,
        "failure": candidate.failure,
        "supersedes": " ".join(scene.supersedes),
    }
