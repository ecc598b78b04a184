"""The page in a real browser: no message on the console, no request, and the controls work."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from fabricated_dataset import PLACES, fabricate
from large_dataset import fabricate_large

from ssl4eco_data.report import write_report

CHROMIUM = next(
    (p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None
)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--window-size=500,900",
    "--virtual-time-budget=4000",
)
PROBE = """<script>
window.addEventListener("load", () => {
  const choose = (id, value) => {
    const select = document.getElementById(id);
    select.value = value;
    select.dispatchEvent(new Event("change"));
  };
  const seen = (selector) =>
    [...document.querySelectorAll(selector)].filter((e) => e.checkVisibility()).length;
  const legends = () => [seen("ul.by-biome"), seen("ul.by-split")];
  const colour = () => getComputedStyle(document.querySelector(".mark.s3")).fill;
  const colours = [colour(), legends()];
  document.getElementById("by-split").click();
  colours.push(colour(), legends());
  const before = [seen(".curve"), seen(".place"), seen("img.true"), seen("img.infrared")];
  const marks = [seen("#map .map .mark")];
  choose("map-select", "1");
  marks.push(seen("#map .map .mark:not(.dimmed)"), seen("#map .map .mark"));
  choose("biome-select", "1");
  choose("curve-select", "curve-2");
  document.getElementById("show-infrared").click();
  const after = [seen(".curve"), seen(".place"), seen("img.true"), seen("img.infrared")];
  const images = [...document.images].filter((i) => i.complete && i.naturalWidth > 0).length;
  document.documentElement.dataset.probe = JSON.stringify({
    before, after, images, colours, marks,
    wide: document.documentElement.scrollWidth > window.innerWidth,
    hidden: document.getElementById("curve-2").hidden,
    requests: performance.getEntriesByType("resource").filter((e) => !e.name.startsWith("data:")).length,
  });
});
</script>"""

LARGE_PROBE = """<script>
window.addEventListener("load", () => {
  const select = document.getElementById("map-select");
  const seen = (value) => {
    select.value = value;
    select.dispatchEvent(new Event("change"));
    return [...document.querySelectorAll("#map .by-biome path")].filter((e) => e.checkVisibility()).length;
  };
  const maps = [...document.querySelectorAll("#windows .map")];
  document.documentElement.dataset.probe = JSON.stringify({
    dots: [seen(""), seen("3"), seen("")],
    months: [maps.length, maps.every((m) => m.querySelectorAll("path").length > 1)],
    requests: performance.getEntriesByType("resource").filter((e) => !e.name.startsWith("data:")).length,
  });
});
</script>"""

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on the path; install chromium to test the page"
)


def browse(page: Path, profile: Path) -> subprocess.CompletedProcess[str]:
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "--dump-dom", page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)


@pytest.mark.slow
def test_page_works_in_a_browser(tmp_path: Path) -> None:
    long_name = replace(PLACES[3], biome="Tropical and subtropical grasslands, savannas and shrublands " * 2)
    held_out = replace(PLACES[2], split="buffer")
    page = write_report(fabricate(tmp_path / "dataset", (*PLACES[:2], held_out, long_name)))
    html = page.read_text(encoding="utf-8")
    page.write_text(html.replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
    done = browse(page, tmp_path / "profile")
    assert [text for text in done.stderr.splitlines() if "CONSOLE" in text] == []
    assert 'data-probe="' in done.stdout
    probe = done.stdout.split('data-probe="')[1].split('"')[0].replace("&quot;", "")
    assert "before:[1,4,13,0]" in probe
    assert "after:[1,1,0,3]" in probe
    assert "images:26" in probe
    assert "marks:[4,1,1]" in probe, "the map shows one biome alone"
    assert "hidden:false" in probe
    assert "colours:[rgb(136, 153, 0),[1,0],rgb(139, 147, 143),[0,1]]" in probe, "by biome, then by split"
    assert "wide:false" in probe, "nothing sticks out on a narrow screen"
    assert "requests:0" in probe


@pytest.mark.slow
def test_console_errors_would_be_seen(tmp_path: Path) -> None:
    page = tmp_path / "broken.html"
    page.write_text("<!DOCTYPE html><title>x</title><script>nothing.here();</script>", encoding="utf-8")
    assert "CONSOLE" in browse(page, tmp_path / "profile").stderr


@pytest.mark.slow
def test_a_quarter_million_locations_stay_below_ten_megabytes_and_work(tmp_path: Path) -> None:
    page = write_report(fabricate_large(tmp_path / "large", 250_000))
    html = page.read_text(encoding="utf-8")
    assert len(html.encode()) < 10_000_000
    page.write_text(html.replace("</body>", f"{LARGE_PROBE}</body>"), encoding="utf-8")
    done = browse(page, tmp_path / "profile")
    assert [text for text in done.stderr.splitlines() if "CONSOLE" in text] == []
    probe = done.stdout.split('data-probe="')[1].split('"')[0].replace("&quot;", "")
    assert "dots:[14,1,14]" in probe, "biomes on the map: all, one, all"
    assert html.count('class="infrared"') > 200, "the gallery is full"
    assert "months:[4,true]" in probe
    assert "requests:0" in probe
