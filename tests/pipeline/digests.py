"""What must be byte-identical between two builds of one configuration."""

from __future__ import annotations

import hashlib
from pathlib import Path

VOLATILE = ("runs", "report")


def digest(root: Path) -> dict[str, str]:
    """SHA-256 of every file of a dataset but those that carry times."""
    return {
        str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(root.rglob("*"))
        if p.is_file() and p.relative_to(root).parts[0] not in VOLATILE
    }
