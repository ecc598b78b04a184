"""The works that a dataset may rest on, as BibTeX.

Sources of the entries: the pages behind each ``doi`` or ``url``; MODIS products as the LP DAAC asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One BibTeX entry: ``kind`` as after the ``@``, ``fields`` in the order they are printed.

    Values are plain ASCII with LaTeX for accents; braces in them are balanced.
    """

    key: str
    kind: str
    fields: Mapping[str, str]

    def __post_init__(self) -> None:
        for name, value in self.fields.items():
            if value.count("{") != value.count("}") or not value.isascii():
                raise ValueError(f"{self.key}.{name} must be ASCII with balanced braces, got {value!r}")

    def bibtex(self) -> str:
        """The entry as BibTeX."""
        lines = [f"  {name} = {{{value}}}," for name, value in self.fields.items()]
        return "\n".join([f"@{self.kind}{{{self.key},", *lines, "}"])

    def text(self) -> str:
        """The entry as one line for people."""
        where = self.fields.get("doi")
        link = f"https://doi.org/{where}" if where else self.fields.get("url", "")
        authors = self.fields["author"].replace(" and ", "; ")
        year = f" ({self.fields['year']})" if "year" in self.fields else ""
        return f"{authors}{year}: {self.fields['title']}. {link}".replace("{", "").replace("}", "").strip()


def _reference(key: str, kind: str, **fields: str) -> Reference:
    return Reference(key=key, kind=kind, fields=fields)


PAPER = _reference(
    "plekhanova2025ssl4eco",
    "inproceedings",
    author="Plekhanova, Elena and Robert, Damien and Dollinger, Johannes and Arens, Emilia and Brun, Philipp "
    "and Wegner, Jan Dirk and Zimmermann, Niklaus",
    title="{SSL4Eco}: A Global Seasonal Dataset for Geospatial Foundation Models in Ecology",
    booktitle="Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition Workshops "
    "(EarthVision)",
    pages="2403--2414",
    year="2025",
    eprint="2504.18256",
    archiveprefix="arXiv",
    url="https://arxiv.org/abs/2504.18256",
)
SENTINEL_2 = _reference(
    "drusch2012sentinel2",
    "article",
    author="Drusch, M. and Del Bello, U. and Carlier, S. and Colin, O. and Fernandez, V. and Gascon, F. and "
    "Hoersch, B. and Isola, C. and Laberinti, P. and Martimort, P. and Meygret, A. and Spoto, F. and Sy, O. "
    "and Marchese, F. and Bargellini, P.",
    title="{Sentinel-2}: {ESA}'s Optical High-Resolution Mission for {GMES} Operational Services",
    journal="Remote Sensing of Environment",
    volume="120",
    pages="25--36",
    year="2012",
    doi="10.1016/j.rse.2011.11.026",
)
MAJOR_TOM = _reference(
    "francis2024majortom",
    "inproceedings",
    author="Francis, Alistair and Czerkawski, Mikolaj",
    title="{Major TOM}: Expandable Datasets for {Earth} Observation",
    booktitle="IGARSS 2024 - 2024 IEEE International Geoscience and Remote Sensing Symposium",
    pages="2935--2940",
    year="2024",
    doi="10.1109/IGARSS53475.2024.10640760",
    eprint="2402.12095",
    archiveprefix="arXiv",
)
ECOREGIONS = _reference(
    "dinerstein2017ecoregion",
    "article",
    author="Dinerstein, Eric and Olson, David and Joshi, Anup and others",
    title="An Ecoregion-Based Approach to Protecting Half the Terrestrial Realm",
    journal="BioScience",
    volume="67",
    number="6",
    pages="534--545",
    year="2017",
    doi="10.1093/biosci/bix014",
)
LAND_MASK = _reference(
    "karin2020landmask",
    "software",
    author="Karin, Todd",
    title="Global Land Mask",
    year="2020",
    doi="10.5281/zenodo.4066722",
)
EARTH_ENGINE = _reference(
    "gorelick2017earthengine",
    "article",
    author="Gorelick, Noel and Hancher, Matt and Dixon, Mike and Ilyushchenko, Simon and Thau, David and "
    "Moore, Rebecca",
    title="{Google Earth Engine}: Planetary-Scale Geospatial Analysis for Everyone",
    journal="Remote Sensing of Environment",
    volume="202",
    pages="18--27",
    year="2017",
    doi="10.1016/j.rse.2017.06.031",
)
PLANETARY_COMPUTER = _reference(
    "microsoft2022planetarycomputer",
    "software",
    author="{Microsoft Open Source} and McFarland, Matt and Emanuele, Rob and Morris, Dan and "
    "Augspurger, Tom",
    title="microsoft/{PlanetaryComputer}: October 2022",
    publisher="Zenodo",
    version="2022.10.28",
    year="2022",
    doi="10.5281/zenodo.7261897",
)
CLOUD_SCORE = _reference(
    "pasquarella2023cloudscore",
    "inproceedings",
    author="Pasquarella, Valerie J. and Brown, Christopher F. and Czerwinski, Wanda and "
    "Rucklidge, William J.",
    title="Comprehensive Quality Assessment of Optical Satellite Imagery Using Weakly Supervised Video "
    "Learning",
    booktitle="Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition Workshops",
    pages="2125--2135",
    year="2023",
    doi="10.1109/CVPRW59228.2023.00206",
)
_INDICES = "Vegetation Indices 16-Day L3 Global"
_MODIS_TITLES = {
    "MOD13Q1": f"MODIS/Terra {_INDICES} 250m SIN Grid",
    "MYD13Q1": f"MODIS/Aqua {_INDICES} 250m SIN Grid",
    "MOD13A1": f"MODIS/Terra {_INDICES} 500m SIN Grid",
    "MYD13A1": f"MODIS/Aqua {_INDICES} 500m SIN Grid",
    "MCD12Q2": "MODIS/Terra+Aqua Land Cover Dynamics Yearly L3 Global 500m SIN Grid",
}


def modis(product: str) -> Reference | None:
    """The reference of a MODIS product of collection 6.1; ``None`` for one that is not known here."""
    if product not in _MODIS_TITLES:
        return None
    dynamics = product == "MCD12Q2"
    return _reference(
        f"{'friedl2022' if dynamics else 'didan2021'}{product.lower()}",
        "misc",
        author="Friedl, Mark and Gray, Josh and Sulla-Menashe, Damien" if dynamics else "Didan, Kamel",
        title=f"{{{product}}} {_MODIS_TITLES[product]} {{V061}}",
        publisher="NASA EOSDIS Land Processes Distributed Active Archive Center",
        year="2022" if dynamics else "2021",
        doi=f"10.5067/MODIS/{product}.061",
    )


def software(version: str) -> Reference:
    """This program, in the version that is running."""
    return _reference(
        "ssl4ecodata",
        "software",
        author="{The SSL4Eco data contributors}",
        title="{SSL4Eco} data: {Sentinel-2} pretraining datasets for ecology",
        version=version,
        license="Apache-2.0",
    )
