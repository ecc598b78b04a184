"""The accuracy that is asked for, and whether it came."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from phenology_report.scores import Matched, covered, rmse
from ssl4eco_data.types import METRICS

DATE_GATES_DAYS = (
    (("mid_greenup", "mid_greendown"), 3.5),
    (("greenup", "dormancy"), 6.0),
    (("maturity", "senescence"), 10.0),
)
DOUBLE_GATE, INVENTED_GATE = 0.95, 0.005
SIGMA_GATE = (0.63, 0.73)
PHENOCAM_RMSE_DAYS, PHENOCAM_BIAS_DAYS = 5.0, 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What is asked, what came, in words, and whether that meets it."""

    asked: str
    came: str
    met: bool

    def words(self) -> str:
        """The result as the page says it."""
        return f"{self.came}: {'met' if self.met else '**not met**'}"


def synthetic_gates(dated: Matched, double: Matched, without: dict[str, Matched]) -> list[Gate]:
    """Gates of one set: dates and sigma of ``dated``, both crops of ``double``, no cycle in ``without``."""
    errors = dict(zip(METRICS, rmse(dated.error), strict=True))
    gates = [
        Gate(
            asked=f"RMSE of {' and '.join(named(m) for m in metrics)} at most {most:g} d",
            came=" / ".join(f"{errors[m]:.1f}" for m in metrics),
            met=all(bool(errors[m] <= most) for m in metrics),
        )
        for metrics, most in DATE_GATES_DAYS
    ]
    both = float(double.complete.mean())
    gates.append(
        Gate(
            asked=f"both crops of a year found on at least {percent(DOUBLE_GATE)} of double crops",
            came=f"{percent(both, 1)} ({percent(float(double.found.mean()), 1)} of single crops)",
            met=both >= DOUBLE_GATE,
        )
    )
    for name, own in without.items():
        invented = float(own.invented.mean())
        gates.append(
            Gate(
                asked=f"cycles invented on at most {percent(INVENTED_GATE, 1)} of {name} pixels",
                came=percent(invented, 2),
                met=invented <= INVENTED_GATE,
            )
        )
    inside = covered(dated.error, dated.sigma, 1.0)
    low, high = SIGMA_GATE
    gates.append(
        Gate(
            asked=f"{percent(low)} to {percent(high)} of the errors of each metric within 1 sigma",
            came=f"{percent(inside.min())} to {percent(inside.max())}",
            met=bool(np.all((inside >= low) & (inside <= high))),
        )
    )
    return gates


def phenocam_gates(table: pd.DataFrame) -> list[Gate]:
    """Gates of the 25 % rising dates of deciduous broadleaf forest, from the table of that name."""
    chosen = (table["veg_type"] == "DB") & (table["direction"] == "rising") & (table["share"] == 0.25)
    row = table[chosen].iloc[0]
    return [
        Gate(
            asked=f"RMSE of deciduous 25 % rising dates at most {PHENOCAM_RMSE_DAYS:g} d",
            came=f"{row['rmse']:.1f} d",
            met=bool(row["rmse"] <= PHENOCAM_RMSE_DAYS),
        ),
        Gate(
            asked=f"their bias at most {PHENOCAM_BIAS_DAYS:g} d either way",
            came=f"{row['bias']:+.1f} d",
            met=bool(abs(row["bias"]) <= PHENOCAM_BIAS_DAYS),
        ),
    ]


def percent(share: float, digits: int = 0) -> str:
    """A share as percent, with a space."""
    return f"{100 * share:.{digits}f} %"


def named(metric: str) -> str:
    """A metric's name in a sentence."""
    return metric.replace("_", "-")
