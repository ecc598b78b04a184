"""What a benchmark of training says: rates, the part that binds, lines to print. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Part = Literal["storage", "decoding", "transfer", "step"]
_LOADER_WAYS = {
    "decode": "pure decoding, one thread",
    "memmap": "memmap of unpacked pixels, one thread",
    "memcpy": "memcpy of unpacked pixels, one thread",
    "reader": "ShardReader, one thread",
    "loader": "SeasonLoader to a consumer",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one way did in one turn: ``items``, in seconds of the clock and of all cores together."""

    items: int
    seconds: float
    cpu_seconds: float
    stall_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Items a second of the clock, and of a processor, each of its best turn."""

    by_clock: float
    by_cpu: float


def best(turns: Sequence[Turn]) -> Rate:
    """The rates of some turns; what disturbs a turn makes it slower only."""
    shortest = 1e-9
    return Rate(
        by_clock=max(turn.items / max(turn.seconds, shortest) for turn in turns),
        by_cpu=max(turn.items / max(turn.cpu_seconds, shortest) for turn in turns),
    )


def stall_share(turns: Sequence[Turn]) -> float:
    """Share of the time of some turns in which the consumer waited for data."""
    return sum(turn.stall_seconds for turn in turns) / max(sum(turn.seconds for turn in turns), 1e-9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Locations a second that each part could do were the others without end.

    ``decoding`` is the reader's alone times its threads, as many as there are cores; ``loader`` what it
    delivers, storage and decoding included; ``transfer`` None where nothing is moved to a device.
    """

    storage: float
    decoding: float
    loader: float
    transfer: float | None
    step: float

    def feed(self) -> float:
        """What arrives at the step."""
        return self.loader if self.transfer is None else min(self.loader, self.transfer)


def what_binds(limits: Limits) -> Part:
    """The slowest part. Where that is the loader, the slower of storage and decoding; ties go to the step."""
    if limits.step <= limits.feed():
        return "step"
    if limits.transfer is not None and limits.transfer <= limits.loader:
        return "transfer"
    return "storage" if limits.storage < limits.decoding else "decoding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What the rates depend on.

    Bytes are of one patch (the wanted arrays of one season of a location), packed as on the disk and
    unpacked as delivered. ``cold``: the system was asked
    to drop the files from its page cache before the storage was measured (in memory they stay).
    ``limit_s`` are locations/s by the device's limits, None where these are unknown.
    """

    recipe: str
    device: str
    threads: int
    cores: int
    images: int
    batch: int
    packed_bytes: float
    pixel_bytes: float
    cold: bool
    limit_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The outcome. ``patches_s`` are the ways of reading, ``locations_s`` the steps (``views``, ``step``,
    ``both``, and ``transfer`` on a GPU); ``storage_bytes_s`` what was read packed."""

    conditions: Conditions
    patches_s: Mapping[str, Rate]
    locations_s: Mapping[str, Rate]
    storage_bytes_s: float
    stall_share: float

    def limits(self) -> Limits:
        """Each part in locations/s."""
        c = self.conditions
        transfer = self.locations_s.get("transfer")
        return Limits(
            storage=self.storage_bytes_s / (c.packed_bytes * c.images),
            decoding=self.patches_s["reader"].by_clock * min(c.threads, c.cores) / c.images,
            loader=self.patches_s["loader"].by_clock / c.images,
            transfer=None if transfer is None else transfer.by_clock,
            step=self.locations_s["step"].by_clock,
        )

    def wanted_bytes_s(self) -> float:
        """What the storage must give for the step never to wait."""
        return self.limits().step * self.conditions.images * self.conditions.packed_bytes

    def as_dict(self) -> dict[str, Any]:
        """For JSON: rates, ratios, and what binds."""
        limits, both = self.limits(), self.locations_s["both"].by_clock
        decode = self.patches_s["decode"]
        return {
            "conditions": asdict(self.conditions),
            "patches_s": {name: asdict(rate) for name, rate in self.patches_s.items()},
            "share_of_decode": {n: r.by_cpu / decode.by_cpu for n, r in self.patches_s.items()},
            "locations_s": {name: asdict(rate) for name, rate in self.locations_s.items()},
            "limits_locations_s": asdict(limits),
            "both_share_of_slower": both / min(limits.feed(), limits.step),
            "storage_gb_s": self.storage_bytes_s / 1e9,
            "storage_wanted_gb_s": self.wanted_bytes_s() / 1e9,
            "stall_share": self.stall_share,
            "roofline_share": None if self.conditions.limit_s is None else both / self.conditions.limit_s,
            "binds": what_binds(limits),
        }


def lines(figures: Figures) -> list[str]:
    """What a person reads, line by line; the last names what binds."""
    c, told, limits = figures.conditions, figures.as_dict(), figures.limits()
    memmap = figures.patches_s["memmap"].by_cpu
    head = f"{c.recipe}: batch {c.batch}, {c.images} seasons of a location, reading threads {c.threads}"
    out = [
        f"{head}, cores {c.cores}, device {c.device}",
        f"a patch has {c.pixel_bytes / 1e6:.4g} MB, packed {c.packed_bytes / 1e6:.4g} MB",
        "",
        f"{'reading':40}{'patches/s':>11}{'and core':>11}{'of decoding':>13}{'of memmap':>11}",
    ]
    for name, rate in figures.patches_s.items():
        out.append(
            f"{_LOADER_WAYS[name]:40}{rate.by_clock:>11.0f}{rate.by_cpu:>11.0f}"
            f"{told['share_of_decode'][name]:>13.2f}{rate.by_cpu / memmap:>11.2f}"
        )
    out += ["", f"{'training':40}{'locations/s':>11}"]
    step_ways = {
        "transfer": "to the device from pinned memory",
        "views": "views alone, one batch again and again",
        "step": "step alone, one batch again and again",
        "both": "loader and step",
    }
    out += [
        f"{text:40}{figures.locations_s[n].by_clock:>11.4g}"
        for n, text in step_ways.items()
        if n in figures.locations_s
    ]
    return [*out, "", *_summary(figures, told, limits)]


def _summary(figures: Figures, told: Mapping[str, Any], limits: Limits) -> list[str]:
    c = figures.conditions
    together = f"{told['both_share_of_slower']:.0%} of the slower alone"
    waiting = f"waiting for data {figures.stall_share:.1%} of the time"
    shared = "; on a CPU loader and step share its cores" if c.device == "cpu" else ""
    warmth = "its files were to leave the page cache before" if c.cold else "perhaps from the page cache"
    roofline = "unknown for this device; --peak-tflops and --memory-gb-s say its limits"
    if c.limit_s is not None:
        roofline = f"{told['roofline_share']:.1%} of {c.limit_s:.4g} locations/s"
    given, wanted = told["storage_gb_s"], told["storage_wanted_gb_s"]
    return [
        f"together: {together}, {waiting}{shared}",
        f"storage: gives {given:.3g} GB/s ({warmth}), the step asks for {wanted:.3g} GB/s",
        f"roofline: {roofline}",
        _verdict(what_binds(limits), limits, figures.locations_s["both"].by_clock),
    ]


def _verdict(part: Part, limits: Limits, both: float) -> str:
    could = f"the step could take {limits.step:.4g}"
    why = {
        "storage": f"it gives {limits.storage:.4g} locations/s, {could}",
        "decoding": f"the loader gives {limits.loader:.4g} locations/s, {could}",
        "transfer": f"it gives {limits.feed():.4g} locations/s, {could}",
        "step": f"it takes {limits.step:.4g} locations/s, the loader could give {limits.feed():.4g}",
    }
    return f"{part} binds at {both:.4g} locations/s: {why[part]}"
