"""Measures the accuracy of the phenology and writes docs/phenology-accuracy.md with its figures.

    python -m phenology_report [--tiny] [--page FILE] [--images FOLDER]

The yardstick and PhenoCam are found at ``../shared`` beside the checkout or at ``$SSL4ECO_SHARED``; without
them it says so, and the page says that they were not measured.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from phenology_report import phenocam
from phenology_report.page import Findings, Sizes, write_page
from phenology_report.plots import draw_all, draw_phenocam
from phenology_report.synthetic import load_yardstick, score_shapes, score_yardstick

ROOT = Path(__file__).resolve().parents[1]
FULL = Sizes(seeds=range(20260001, 20260025), pixels=200, yardstick_pixels=1000)
TINY = Sizes(seeds=range(1, 3), pixels=4, yardstick_pixels=60)


def shared() -> Path:
    """The folder of shared data and examples."""
    return Path(os.environ.get("SSL4ECO_SHARED", ROOT.parent / "shared"))


def there(path: Path, what: str) -> bool:
    """Whether ``path`` is there; if not, says loudly what is left out."""
    if not path.exists():
        print(f"SHARED DATA ABSENT: {path} is not there (set SSL4ECO_SHARED); no {what}", file=sys.stderr)
    return path.exists()


def report(sizes: Sizes, page: Path, images: Path) -> None:
    """Write ``page`` and the figures in ``images``; the same bytes for the same sizes and versions."""
    shapes = score_shapes(sizes.seeds, sizes.pixels, sizes.densities)
    yardstick, table = None, None
    script = shared() / "examples" / "synthetic_series.py"
    if there(script, "yardstick is measured"):
        make = load_yardstick(script)
        yardstick = score_yardstick(make, sizes.seeds, sizes.yardstick_pixels, sizes.densities)
    cameras = shared() / "data" / "phenocam"
    images.mkdir(parents=True, exist_ok=True)
    if there(cameras, "PhenoCam date is measured"):
        errors = phenocam.compare(cameras)
        table = phenocam.table(errors)
        draw_phenocam(errors, images / "phenocam.png")
    findings = Findings(sizes=sizes, shapes=shapes, yardstick=yardstick, phenocam=table)
    draw_all(findings, images)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(
        write_page(findings, Path(os.path.relpath(images, page.parent)).as_posix()), encoding="utf-8"
    )


def main(arguments: list[str]) -> int:
    """Write the report; exit code 0."""
    parser = argparse.ArgumentParser(
        prog="python -m phenology_report", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--tiny", action="store_true", help="a few pixels, to see that it runs")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "phenology-accuracy.md")
    parser.add_argument("--images", type=Path, default=ROOT / "docs" / "images" / "phenology")
    given = parser.parse_args(arguments)
    report(TINY if given.tiny else FULL, given.page, given.images)
    print(given.page)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
