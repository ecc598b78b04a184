"""Small pieces of SVG: escaped elements, linear scales, and the colours of seasons.

Colours are CSS classes (``c0`` … ``c6``, from Okabe and Ito 2008, safe for colour-blind readers), so that
the page's style sheet adapts them to light and dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from markupsafe import Markup, escape

COLOURS = 7
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

SHAPES = (
    "M{w} {y}a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0z",
    "M{w} {n}h{d}v{d}h-{d}z",
    "M{x} {n}L{e} {s}H{w}z",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Linear map from ``domain`` to ``range``."""

    domain: tuple[float, float]
    range: tuple[float, float]

    def __call__(self, value: float) -> float:
        low, high = self.domain
        start, end = self.range
        return start + (value - low) / (high - low) * (end - start)


def number(value: float) -> str:
    """A coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")


def element(name: str, *children: object, **attributes: object) -> Markup:
    """One element, everything escaped; ``class_`` is ``class``, ``stroke_width`` is ``stroke-width``."""
    shown = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _value(value))
        for key, value in attributes.items()
        if value is not None
    )
    inner = Markup("").join(escape(child) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), shown, inner)


def figure(
    width: float, height: float, label: str, children: Sequence[Markup], class_: str = "chart"
) -> Markup:
    """A whole drawing with its text alternative."""
    return element(
        "svg",
        *children,
        viewBox=f"0 0 {number(width)} {number(height)}",
        width=width,
        height=height,
        role="img",
        aria_label=label,
        class_=class_,
    )


def text(x: float, y: float, content: object, anchor: str = "start", class_: str | None = None) -> Markup:
    """Text whose baseline starts, centres or ends at (x, y)."""
    return element("text", content, x=x, y=y, text_anchor=anchor, class_=class_)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return element("path", d=f"M{number(x1)} {number(y1)}L{number(x2)} {number(y2)}", class_=class_)


def rectangle(x: float, y: float, width: float, height: float, class_: str, title: str = "") -> Markup:
    """A filled rectangle, with a tooltip when ``title`` is given."""
    inner = (element("title", title),) if title else ()
    return element("rect", *inner, x=x, y=y, width=max(width, 0.0), height=max(height, 0.0), class_=class_)


def marker(shape: int, x: float, y: float, radius: float, title: str, class_: str, **also: object) -> Markup:
    """A circle (``shape`` 0), square (1) or triangle (2) of the colour that ``class_`` names."""
    path = SHAPES[shape].format(
        x=number(x),
        y=number(y),
        r=number(radius),
        d=number(2 * radius),
        w=number(x - radius),
        e=number(x + radius),
        n=number(y - radius),
        s=number(y + radius),
    )
    return element("path", element("title", title), d=path, class_=f"mark {class_}".rstrip(), **also)


def day_text(day: float) -> str:
    """ISO date of a day counted from 1970-01-01."""
    return f"{EPOCH + timedelta(days=float(day)):%Y-%m-%d}"


def _value(value: object) -> object:
    return number(value) if isinstance(value, float) else value
