"""The archive that a configuration names."""

from __future__ import annotations

from ssl4eco_data.archives import Archive
from ssl4eco_data.archives.earth_engine import EarthEngineArchive, EarthEngineParameters
from ssl4eco_data.archives.own import OwnParameters, archive_class
from ssl4eco_data.archives.stac import StacArchive
from ssl4eco_data.config import Config
from ssl4eco_data.redaction import redact_logs


def open_archive(config: Config) -> Archive:
    """The archive with this process's share of its limits; it connects when first asked."""
    redact_logs()
    archive = config.archive.share(config.processes)
    if isinstance(archive, EarthEngineParameters):
        return EarthEngineArchive(archive)
    if isinstance(archive, OwnParameters):
        own: Archive = archive_class(archive.kind)(archive)
        return own
    return StacArchive(archive)
