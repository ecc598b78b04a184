"""Rules that judge candidate scenes on the patch and choose one per season; pure, no access to any archive.

The caller drives the loop, because only it may read pixels::

    candidates = candidates_of(scenes, windows, rules)
    while pending := to_judge(candidates, rules):
        candidates = with_stats(candidates, archive.judge([c.scene for c in pending], footprint))
    choices = choose(candidates, rules)
    table = explain(candidates, rules, choices)

Stats kept from an earlier run go in through :func:`with_stats` first; then only what other thresholds need
is judged again.
"""

from ssl4eco_data.scenes.candidates import Candidate, candidates_of, with_failures, with_model, with_stats
from ssl4eco_data.scenes.choice import NOTHING_PUBLISHED, Choice, Published, choose, to_judge
from ssl4eco_data.scenes.cloud_model import MODEL_BANDS, CloudModel, covered_fraction, load_cloud_model
from ssl4eco_data.scenes.explain import explain
from ssl4eco_data.scenes.rules import SceneRules
from ssl4eco_data.scenes.verdicts import Verdict, verdicts

__all__ = [
    "MODEL_BANDS",
    "NOTHING_PUBLISHED",
    "Candidate",
    "Choice",
    "CloudModel",
    "Published",
    "SceneRules",
    "Verdict",
    "candidates_of",
    "choose",
    "covered_fraction",
    "explain",
    "load_cloud_model",
    "to_judge",
    "verdicts",
    "with_failures",
    "with_model",
    "with_stats",
]
