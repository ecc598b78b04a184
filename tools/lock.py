"""Rewrite the pins in requirements/ and environment.yml from the ranges in pyproject.toml (`make lock`)."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TRAINING = "training/pyproject.toml"
ASKED = {
    "dataset": ["--extra=flows", "pyproject.toml"],
    "training": ["--constraint=requirements/dataset.txt", TRAINING],
    "test": [
        "--extra=flows",
        "--extra=earthengine",
        "--group=dev",
        "--group=docs",
        "--constraint=requirements/dataset.txt",
        "--constraint=requirements/training.txt",
        "pyproject.toml",
        TRAINING,
    ],
    "docs": ["--group=docs", "--constraint=requirements/test.txt", "pyproject.toml"],
}
OWN = ("ssl4eco-data", "ssl4eco-training")
GPU = re.compile(r"(nvidia|cuda)-|triton==")
"""Packages whose versions torch's own wheel states exactly; only the wheel with CUDA wants them."""
HEADER = "# Exact versions, made from the ranges in pyproject.toml by `make lock`. Do not edit.\n"


def compile_pins(name: str) -> None:
    """Write requirements/NAME.txt: what it asks for resolves to, for every platform and Python 3.11 up."""
    target = ROOT / "requirements" / f"{name}.txt"
    command = [sys.executable, "-m", "uv", "pip", "compile", "--universal", "--python-version", "3.11"]
    command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--quiet"]
    command += [f"--no-emit-package={own}" for own in OWN]
    done = subprocess.run([*command, *ASKED[name]], cwd=ROOT, check=True, capture_output=True, text=True)
    kept = [line for line in done.stdout.splitlines(keepends=True) if not GPU.match(line)]
    target.write_text(HEADER + "".join(kept))


def pins(path: Path) -> dict[str, str]:
    """Package name -> exact version, of a pinned requirements file (Python 3.11 where versions differ)."""
    found: dict[str, str] = {}
    for line in path.read_text().splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)(?:\s*;\s*(.*))?", line):
            newer_python = re.search(r"python_full_version >= '3\.1[2-9]'", match[3] or "")
            if not newer_python:
                found[match[1].lower().replace("_", "-")] = match[2]
    return found


def direct_dependencies() -> list[str]:
    """Names (with extras) of what both packages ask for themselves, dev tools included, sorted."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())
    training = tomllib.loads((ROOT / TRAINING).read_text())
    asked = [*data["project"]["dependencies"], *data["dependency-groups"]["dev"]]
    asked += data["dependency-groups"]["docs"]
    asked += [r for extra in data["project"]["optional-dependencies"].values() for r in extra]
    asked += training["project"]["dependencies"]
    names = {re.split(r"[<>=!~ ]", r, maxsplit=1)[0].lower() for r in asked}
    return sorted(n for n in names if not n.startswith(OWN))


def environment() -> str:
    """The text of environment.yml: conda brings Python, pip the same pins as everywhere else."""
    exact = pins(ROOT / "requirements" / "test.txt")
    lines = ["# Exact versions, made by `make lock`; a test keeps them equal to requirements/. Do not edit."]
    lines += [
        "name: ssl4eco",
        "channels:",
        "  - conda-forge",
        "dependencies:",
        "  - python=3.11",
        "  - pip",
        "  - pip:",
    ]
    lines += [f"      - {name}=={exact[name.split('[')[0]]}" for name in direct_dependencies()]
    return "\n".join([*lines, "      - --editable .", "      - --editable ./training", ""])


def main() -> None:
    """Rewrite every lock file."""
    for name in ASKED:
        compile_pins(name)
    (ROOT / "environment.yml").write_text(environment())


if __name__ == "__main__":
    main()
