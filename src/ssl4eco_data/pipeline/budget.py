"""A run's budget: which blocks may still be begun, and what to say when there is no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ssl4eco_data.archives.window import Traffic
from ssl4eco_data.config import Config
from ssl4eco_data.pipeline import costs, tables
from ssl4eco_data.pipeline.planning import ASKING, blocks_of
from ssl4eco_data.pipeline.stage import Work

PARTS = 4
"""A batch takes at most this part of what is left, so that dear blocks are noticed in time."""


@dataclass(frozen=True, slots=True)
class Amount:
    """Requests, and EECU-hours."""

    requests: float = 0.0
    eecu_hours: float = 0.0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.requests + other.requests, self.eecu_hours + other.eecu_hours)

    def __mul__(self, times: float) -> Amount:
        return Amount(self.requests * times, self.eecu_hours * times)

    def within(self, limit: Amount) -> bool:
        """Whether nothing is over its limit."""
        return self.requests <= limit.requests and self.eecu_hours <= limit.eecu_hours


@dataclass(slots=True)
class Budget:
    """What one run may ask for and has asked for.

    Requests are those counted; EECU-hours, which the service does not tell, those that ``[plan]`` expects.
    """

    config: Config
    spent: Amount = field(default_factory=Amount)
    _expected: dict[str, list[Amount]] = field(default_factory=dict)
    _dearness: dict[str, float] = field(default_factory=dict)

    @property
    def limit(self) -> Amount:
        """Infinite where nothing is set."""
        set_ = self.config.run.budget
        return Amount(set_.max_requests or float("inf"), set_.max_eecu_hours or float("inf"))

    def affordable(self, stage: str, todo: Sequence[Work]) -> Sequence[Work]:
        """The blocks to begin now: all without a limit, none when the budget is spent.

        The first batch of a stage is one block per worker, because nothing is known yet of what its blocks
        really cost; a run begins with a block even if that alone is dearer than the budget.
        """
        if self.limit == Amount(float("inf"), float("inf")) or stage not in ASKING:
            return todo
        measured = stage in self._dearness
        expected = self._amounts(stage)
        left = Amount(
            self.limit.requests - self.spent.requests, self.limit.eecu_hours - self.spent.eecu_hours
        )
        share = left * (1 / PARTS)
        batch: list[Work] = []
        total = Amount()
        for work in todo[: None if measured else self.config.run.workers]:
            amount = expected[work.block]
            total += Amount(amount.requests * self._dearness.get(stage, 1.0), amount.eecu_hours)
            if not total.within(share if batch else left):
                break
            batch.append(work)
        return batch or ([] if self.spent != Amount() else todo[:1])

    def spend(self, stage: str, batch: Sequence[Work], traffic: Mapping[str, Traffic]) -> None:
        """Note what a batch took."""
        if stage not in ASKING or not batch:
            return
        requests = float(sum(each.requests for each in traffic.values()))
        expected = sum((self._amounts(stage)[work.block] for work in batch), Amount())
        self.spent += Amount(requests, expected.eecu_hours)
        self._dearness[stage] = requests / expected.requests if expected.requests else 1.0

    def _amounts(self, stage: str) -> list[Amount]:
        """What each block of a stage is expected to take."""
        if stage not in self._expected:
            every = [costs.block_costs(self.config, b) for b in self._blocks()]
            for name in ASKING:
                self._expected[name] = [
                    Amount(cost[name].requests, costs.eecu_hours(cost[name], self.config)) for cost in every
                ]
        return self._expected[stage]

    def _blocks(self) -> list[costs.Block]:
        return blocks_of(self.config, tables.locations(self.config))

    def message(self, stage: str, left: int) -> str:
        """What was spent, and how to go on."""
        set_ = self.config.run.budget
        parts = []
        if set_.max_requests is not None:
            parts.append(f"{self.spent.requests:,.0f} of {set_.max_requests:,} requests")
        if set_.max_eecu_hours is not None:
            spent = f"{self.spent.eecu_hours:,.3g} of {set_.max_eecu_hours:,g} EECU-hours"
            parts.append(f"{spent} (by plan.eecu_s_per_layer)")
        return (
            f"the budget of this run is spent: {' and '.join(parts)}; "
            f"blocks left in stage {stage}: {left}. "
            "What is done is kept; the same command goes on with a new budget of the same size. "
            "Another size is set in [run.budget]."
        )
