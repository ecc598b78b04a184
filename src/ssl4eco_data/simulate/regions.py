"""The climates of the embedded Earth: where they are, what grows there, and what its sky is like.

Day numbers are days of the year; a season that ends in the next year has ``brown_day`` above 365. Names of
ecoregions and biomes are those of RESOLVE Ecoregions 2017 at the place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ssl4eco_data.simulate.parameters import RegionName

Dialect = Literal["planetary_computer", "earth_search", "collection_1"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GreenSeason:
    """One green season of a year: days of half green-up and half green-down, and how fast (1/day) each is.

    ``tilt`` is the share of greenness lost linearly from green-up to green-down (negative: still growing).
    """

    green_day: float
    brown_day: float
    green_rate: float = 0.10
    brown_rate: float = 0.09
    height: float = 1.0
    tilt: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """A cover's share of the land, its green seasons, and the greenness it keeps all year."""

    cover: str
    share: float
    seasons: tuple[GreenSeason, ...] = ()
    evergreen: float = 0.0
    spread_days: float = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Clouds:
    """Share of cloudy days over the year: mean, half range, and day of the year with the most."""

    mean: float
    swing: float = 0.0
    peak_day: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snow:
    """Half-way days of the first snow and of the melt (next year); ``patchy`` is how much height decides."""

    start_day: float
    melt_day: float
    patchy: float = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """One climate. A neighbour tile overlaps in the ``same`` zone or comes from the next to the ``east``."""

    name: RegionName
    ecoregion: str
    biome: str
    realm: str
    lon_deg: float
    lat_deg: float
    dialect: Dialect
    stands: tuple[Stand, ...]
    clouds: Clouds
    snow: Snow | None = None
    relief_m: float = 25.0
    year_shift_days: float = 6.0
    fields: bool = False
    neighbour: Literal["same", "east"] | None = None


REGIONS: dict[str, Region] = {
    region.name: region
    for region in (
        Region(
            name="temperate_forest",
            ecoregion="Central European mixed forests",
            biome="Temperate Broadleaf & Mixed Forests",
            realm="Palearctic",
            lon_deg=11.95,
            lat_deg=51.0,
            dialect="planetary_computer",
            stands=(
                Stand(cover="broadleaf", share=0.78, seasons=(GreenSeason(green_day=122, brown_day=286),)),
                Stand(
                    cover="crop",
                    share=0.06,
                    seasons=(GreenSeason(green_day=138, brown_day=268, brown_rate=0.13),),
                    spread_days=7,
                ),
                Stand(
                    cover="grass",
                    share=0.06,
                    seasons=(
                        GreenSeason(
                            green_day=95, brown_day=300, green_rate=0.05, brown_rate=0.05, height=0.6
                        ),
                    ),
                    evergreen=0.35,
                ),
                Stand(cover="soil", share=0.03),
                Stand(cover="built", share=0.04),
                Stand(cover="water", share=0.03),
            ),
            clouds=Clouds(mean=0.55, swing=0.12, peak_day=10),
            snow=Snow(start_day=375, melt_day=408, patchy=0.8),
            neighbour="east",
        ),
        Region(
            name="boreal_forest",
            ecoregion="Scandinavian and Russian taiga",
            biome="Boreal Forests/Taiga",
            realm="Palearctic",
            lon_deg=26.6,
            lat_deg=67.3,
            dialect="earth_search",
            stands=(
                Stand(
                    cover="broadleaf",
                    share=0.70,
                    seasons=(GreenSeason(green_day=159, brown_day=257, green_rate=0.15, brown_rate=0.13),),
                ),
                Stand(
                    cover="conifer",
                    share=0.17,
                    seasons=(GreenSeason(green_day=152, brown_day=264),),
                    evergreen=0.1,
                ),
                Stand(cover="soil", share=0.04),
                Stand(cover="water", share=0.09),
            ),
            clouds=Clouds(mean=0.55, swing=0.1, peak_day=320),
            snow=Snow(start_day=296, melt_day=498, patchy=0.15),
        ),
        Region(
            name="mediterranean",
            ecoregion="Iberian sclerophyllous and semi-deciduous forests",
            biome="Mediterranean Forests, Woodlands & Scrub",
            realm="Palearctic",
            lon_deg=-7.9,
            lat_deg=38.5,
            dialect="collection_1",
            stands=(
                Stand(
                    cover="grass",
                    share=0.74,
                    seasons=(
                        GreenSeason(
                            green_day=325, brown_day=503, green_rate=0.06, brown_rate=0.09, tilt=-0.15
                        ),
                    ),
                    evergreen=0.05,
                ),
                Stand(
                    cover="shrub",
                    share=0.15,
                    seasons=(
                        GreenSeason(
                            green_day=320, brown_day=520, green_rate=0.05, brown_rate=0.05, height=0.3
                        ),
                    ),
                    evergreen=0.6,
                ),
                Stand(cover="soil", share=0.05),
                Stand(cover="built", share=0.03),
                Stand(cover="water", share=0.03),
            ),
            clouds=Clouds(mean=0.35, swing=0.22, peak_day=5),
            relief_m=60,
        ),
        Region(
            name="monsoon_savanna",
            ecoregion="Zambezian Baikiaea woodlands",
            biome="Tropical & Subtropical Grasslands, Savannas & Shrublands",
            realm="Afrotropic",
            lon_deg=23.3,
            lat_deg=-15.4,
            dialect="planetary_computer",
            stands=(
                Stand(
                    cover="savanna",
                    share=0.76,
                    seasons=(GreenSeason(green_day=326, brown_day=492, green_rate=0.09, brown_rate=0.06),),
                ),
                Stand(
                    cover="broadleaf",
                    share=0.10,
                    seasons=(GreenSeason(green_day=305, brown_day=520, brown_rate=0.05, height=0.8),),
                    evergreen=0.1,
                ),
                Stand(
                    cover="crop",
                    share=0.05,
                    seasons=(GreenSeason(green_day=345, brown_day=475),),
                    spread_days=8,
                ),
                Stand(cover="soil", share=0.06),
                Stand(cover="water", share=0.03),
            ),
            clouds=Clouds(mean=0.42, swing=0.36, peak_day=20),
            year_shift_days=8,
        ),
        Region(
            name="double_cropping",
            ecoregion="Huang He Plain mixed forests",
            biome="Temperate Broadleaf & Mixed Forests",
            realm="Palearctic",
            lon_deg=116.3,
            lat_deg=36.6,
            dialect="earth_search",
            stands=(
                Stand(
                    cover="crop",
                    share=0.81,
                    seasons=(
                        GreenSeason(
                            green_day=82, brown_day=153, green_rate=0.10, brown_rate=0.16, height=0.85
                        ),
                        GreenSeason(green_day=197, brown_day=270, green_rate=0.13, brown_rate=0.13),
                    ),
                    spread_days=3.5,
                ),
                Stand(cover="broadleaf", share=0.05, seasons=(GreenSeason(green_day=105, brown_day=308),)),
                Stand(cover="soil", share=0.02),
                Stand(cover="built", share=0.09),
                Stand(cover="water", share=0.03),
            ),
            clouds=Clouds(mean=0.42, swing=0.12, peak_day=205),
            relief_m=4,
            fields=True,
        ),
        Region(
            name="evergreen_tropics",
            ecoregion="Uatumã-Trombetas moist forests",
            biome="Tropical & Subtropical Moist Broadleaf Forests",
            realm="Neotropic",
            lon_deg=-59.6,
            lat_deg=-2.6,
            dialect="collection_1",
            stands=(
                Stand(
                    cover="evergreen",
                    share=0.93,
                    seasons=(
                        GreenSeason(
                            green_day=210, brown_day=360, green_rate=0.04, brown_rate=0.04, height=0.04
                        ),
                    ),
                    evergreen=0.93,
                ),
                Stand(cover="soil", share=0.02),
                Stand(cover="water", share=0.05),
            ),
            clouds=Clouds(mean=0.86, swing=0.08, peak_day=75),
        ),
        Region(
            name="desert",
            ecoregion="Atacama desert",
            biome="Deserts & Xeric Shrublands",
            realm="Neotropic",
            lon_deg=-69.0,
            lat_deg=-24.0,
            dialect="planetary_computer",
            stands=(
                Stand(cover="sand", share=0.84),
                Stand(cover="rock", share=0.12),
                Stand(cover="shrub", share=0.04, evergreen=0.15),
            ),
            clouds=Clouds(mean=0.08, swing=0.04, peak_day=40),
            relief_m=90,
        ),
        Region(
            name="alpine_meadow",
            ecoregion="Tibetan Plateau alpine shrublands and meadows",
            biome="Montane Grasslands & Shrublands",
            realm="Palearctic",
            lon_deg=92.0,
            lat_deg=31.6,
            dialect="earth_search",
            stands=(
                Stand(
                    cover="grass",
                    share=0.74,
                    seasons=(GreenSeason(green_day=161, brown_day=266, green_rate=0.10, brown_rate=0.10),),
                    spread_days=4,
                ),
                Stand(cover="rock", share=0.17),
                Stand(cover="shrub", share=0.05, seasons=(GreenSeason(green_day=150, brown_day=280),)),
                Stand(cover="water", share=0.04),
            ),
            clouds=Clouds(mean=0.5, swing=0.22, peak_day=200),
            snow=Snow(start_day=320, melt_day=475, patchy=0.9),
            relief_m=320,
        ),
        Region(
            name="tundra",
            ecoregion="Arctic foothills tundra",
            biome="Tundra",
            realm="Nearctic",
            lon_deg=-150.2,
            lat_deg=69.3,
            dialect="collection_1",
            stands=(
                Stand(
                    cover="tundra",
                    share=0.78,
                    seasons=(
                        GreenSeason(
                            green_day=172, brown_day=241, green_rate=0.17, brown_rate=0.14, height=0.85
                        ),
                    ),
                ),
                Stand(cover="soil", share=0.08),
                Stand(cover="water", share=0.14),
            ),
            clouds=Clouds(mean=0.55, swing=0.12, peak_day=240),
            snow=Snow(start_day=277, melt_day=514, patchy=0.12),
        ),
        Region(
            name="pampas",
            ecoregion="Humid Pampas",
            biome="Temperate Grasslands, Savannas & Shrublands",
            realm="Neotropic",
            lon_deg=-60.2,
            lat_deg=-36.2,
            dialect="planetary_computer",
            stands=(
                Stand(
                    cover="grass",
                    share=0.76,
                    seasons=(
                        GreenSeason(
                            green_day=262, brown_day=440, green_rate=0.06, brown_rate=0.07, tilt=0.25
                        ),
                    ),
                    evergreen=0.1,
                ),
                Stand(
                    cover="crop",
                    share=0.11,
                    seasons=(GreenSeason(green_day=272, brown_day=442, green_rate=0.08),),
                    spread_days=8,
                ),
                Stand(cover="soil", share=0.05),
                Stand(cover="built", share=0.04),
                Stand(cover="water", share=0.04),
            ),
            clouds=Clouds(mean=0.4, swing=0.06, peak_day=180),
            neighbour="same",
            relief_m=6,
            fields=True,
        ),
    )
}
