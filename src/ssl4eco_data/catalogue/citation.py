"""How a dataset is cited: works as BibTeX, and the attribution that its sources and years require."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from ssl4eco_data.catalogue import references
from ssl4eco_data.catalogue.references import Reference
from ssl4eco_data.catalogue.sources import SIMULATE, Source, sources_of
from ssl4eco_data.errors import StoreError
from ssl4eco_data.store import Place, open_dataset
from ssl4eco_data.store.versions import dataset_place

CONFIG = "config.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """What must be shown and what should be cited with a dataset; ``years`` are those of its images.

    ``simulated`` images are of no satellite.
    """

    title: str
    years: tuple[int, ...]
    simulated: bool
    sources: tuple[Source, ...]
    software: Reference

    @property
    def references(self) -> tuple[Reference, ...]:
        """The paper, this program, then the works of each source, each once."""
        works = [references.PAPER, self.software, *(r for s in self.sources for r in s.references)]
        return tuple({work.key: work for work in works}.values())

    @property
    def attribution(self) -> tuple[str, ...]:
        """One sentence or two per source."""
        return tuple(source.attribution for source in self.sources)

    def bibtex(self) -> str:
        """All works as one BibTeX file."""
        return "\n\n".join(work.bibtex() for work in self.references) + "\n"

    def document(self) -> dict[str, Any]:
        """The same as plain values for JSON."""
        return {
            "title": self.title,
            "years": list(self.years),
            "simulated": self.simulated,
            "attribution": list(self.attribution),
            "sources": [
                {
                    "name": source.name,
                    "used_for": source.used_for,
                    "license": source.license,
                    "references": [work.key for work in source.references],
                }
                for source in self.sources
            ],
            "references": [work.text() for work in self.references],
            "bibtex": self.bibtex(),
        }


def citation_of(title: str, config: Mapping[str, Any], years: Sequence[int]) -> Citation:
    """The citation of a dataset with this resolved configuration and images of these years."""
    return Citation(
        title=title,
        years=tuple(sorted(set(years))),
        simulated=SIMULATE in config,
        sources=tuple(sources_of(config, years)),
        software=references.software(version("ssl4eco-data")),
    )


def cite_dataset(root: str | Place) -> Citation:
    """The citation of the dataset at ``root``, a folder or URL.

    Raises :class:`~ssl4eco_data.errors.StoreError` when there is no finished dataset, or its configuration
    cannot be read; without one (a copy of the patches alone) only the imagery is known.
    """
    place = dataset_place(root)
    dataset = open_dataset(place)
    time = dataset["time"].to_numpy().ravel()
    years = np.unique(time[~np.isnat(time)].astype("datetime64[Y]")).astype(int) + 1970
    folder = place.parent if place.suffix == ".zarr" else place
    return citation_of(str(dataset.attrs["title"]), _config(folder / CONFIG), years.tolist())


def describe_citation(citation: Citation) -> Iterator[str]:
    """Lines for people: what to show, what is under which terms, what to cite."""
    yield "Show with every use of the data:"
    yield from (f"  {sentence}" for sentence in citation.attribution)
    if terms := [source for source in citation.sources if source.license]:
        yield ""
        yield "Terms:"
        yield from (f"  {source.name}: {source.license}" for source in terms)
    yield ""
    yield "Cite:"
    yield ""
    yield citation.bibtex().rstrip("\n")


def _config(path: Place) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode())
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"cannot read {path}: {error}; build again to write it anew") from error
