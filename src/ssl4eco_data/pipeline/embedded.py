"""The embedded archive is written before the first stage asks for it."""

from __future__ import annotations

from pathlib import Path

from ssl4eco_data.config import Config
from ssl4eco_data.errors import ConfigError
from ssl4eco_data.pipeline.display import Bar
from ssl4eco_data.simulate import is_written, write_archive


def prepare_archive(config: Config) -> None:
    """Write the embedded archive of the configuration unless it is there, whole and of these parameters."""
    if config.simulate is None:
        return
    folder, earth = Path(config.simulate.folder), config.simulate.earth
    if is_written(folder, earth):
        return
    with Bar("archive", 1, "scenes") as bar:
        write_archive(folder, earth, config.run.workers, bar.set)


def require_archive(config: Config) -> None:
    """Raise :class:`~ssl4eco_data.errors.ConfigError` where the embedded archive is still to be written."""
    if config.simulate is None or is_written(Path(config.simulate.folder), config.simulate.earth):
        return
    raise ConfigError(
        f"the embedded archive {config.simulate.folder} is not written yet; "
        "`ssl4eco build CONFIG --until locations` writes it"
    )
