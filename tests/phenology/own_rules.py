"""Date rules of one's own: one that serves, and others that cannot."""

from __future__ import annotations

NOT_A_FUNCTION = 3


def around_peak(days, second):
    """Summer is 30 days around the peak, spring and autumn the 60 days before and after; no winter."""
    peak = days["peak"]
    return {
        "spring": (peak - 75, peak - 15),
        "summer": (peak - 15, peak + 15),
        "autumn": (peak + 15, peak + 75),
    }


def misspelt(days, second):
    return {"fall": (days["senescence"], days["dormancy"])}


def backwards(days, second):
    return {"spring": (days["maturity"], days["greenup"])}


def overlapping(days, second):
    return {"spring": (100.0, 160.0), "summer": (150.0, 200.0)}


def too_long(days, second):
    return {"spring": (0.0, 100.0), "winter": (200.0, 370.0)}


def far_away(days, second):
    return {"spring": (-400.0, -350.0)}


def without_end(days, second):
    return {"spring": (days["greenup"], float("nan"))}


def no_pair(days, second):
    return {"spring": days["greenup"]}


def a_list(days, second):
    return [(days["greenup"], days["maturity"])]


def too_sure(days, second):
    assert second is None, "one cycle only"


def unknown_metric(days, second):
    return {"spring": (days["green_up"], days["maturity"])}
