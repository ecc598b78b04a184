"""The loopback Earth Engine of the archives' tests with one more method: a table's features, page by page."""

# ruff: noqa: N803 (argument names are the service's)
from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import geopandas as gpd
import shapely
from ee_evaluate import Evaluator
from ee_graphs import Checker, GraphError
from ee_server import Handler, Server
from ee_world import World
from shapely.geometry.base import BaseGeometry

ASSET = "RESOLVE/ECOREGIONS/2017"
METRES_PER_DEGREE = 111_195.0
REQUEST_KEYS = {"expression", "pageSize", "pageToken", "workloadTag"}
"""Of a computeFeatures request, as the REST reference lists them."""


@dataclass(frozen=True)
class Feature:
    """One row of the table."""

    properties: dict[str, Any]
    geometry: BaseGeometry


class FeatureServer(Server):
    """Serves the rows of a table; no page holds more than ``most_per_page``."""

    def __init__(self, table: gpd.GeoDataFrame) -> None:
        super().__init__(World(images=[], pixels={}))
        self.RequestHandlerClass = FeatureHandler
        self.put(features_of(table))
        self.most_per_page = 1000
        self.pages: list[tuple[int, str]] = []

    def put(self, features: Sequence[Feature]) -> None:
        """These rows from now on."""
        self.features = tuple(features)
        self._answers: dict[str, list[Feature]] = {}

    def evaluated(self, expression: Any) -> list[Feature]:
        """The rows of a graph, evaluated for its first page."""
        key = json.dumps(expression)
        if key not in self._answers:
            self._answers[key] = TableEvaluator(self.features, expression).run()
        return self._answers[key]


def features_of(table: gpd.GeoDataFrame) -> list[Feature]:
    rows = table.drop(columns="geometry").to_dict("records")
    return [Feature(row, shape) for row, shape in zip(rows, table.geometry, strict=True)]


class FeatureHandler(Handler):
    server: FeatureServer
    disable_nagle_algorithm = True  # a body sent after its headers would wait 40 ms

    def _answer(self, method: str, body: dict[str, Any]) -> None:
        if method != "table:computeFeatures":
            return super()._answer(method, body)
        if unknown := sorted(set(body) - REQUEST_KEYS):
            raise GraphError(f"unknown keys {unknown}")
        self.server.used |= Checker(body["expression"]).used
        features = self.server.evaluated(body["expression"])
        start = int(body.get("pageToken", "0"))
        end = start + min(body.get("pageSize", 1000), self.server.most_per_page)
        self.server.pages.append((body.get("pageSize", 1000), body.get("pageToken", "")))
        page = {"type": "FeatureCollection", "features": [_geojson(f) for f in features[start:end]]}
        if end < len(features):
            page["nextPageToken"] = str(end)
        return self._send(200, json.dumps(page).encode())


class TableEvaluator(Evaluator):
    """The functions of tables, and those that tables share with images."""

    def __init__(self, features: Sequence[Feature], expression: Any) -> None:
        super().__init__(World(images=[], pixels={}), expression)
        self._features = features

    def _call(self, name: str, arguments: dict[str, Any]) -> Any:
        if name == "Collection.loadTable":
            if arguments["tableId"] != ASSET:
                raise GraphError(f"Collection.loadTable: '{arguments['tableId']}' not found")
            return list(self._features)
        own: dict[str, Callable[..., Any]] = {
            "ErrorMargin": lambda value: value,
            "Feature.select": _select,
            "Feature.simplify": _simplify,
        }
        return own[name](**arguments) if name in own else super()._call(name, arguments)


def _select(input: Feature, propertySelectors: list[str], retainGeometry: bool = True) -> Feature:
    if not retainGeometry:
        raise GraphError("Feature.select is evaluated with the geometry alone")
    return replace(input, properties={k: v for k, v in input.properties.items() if k in propertySelectors})


def _simplify(feature: Feature, maxError: float) -> Feature:
    """Corners nearer than the error to the line between their neighbours go, and small polygons."""
    limit = maxError / METRES_PER_DEGREE
    west, south, east, north = feature.geometry.bounds
    if max(east - west, north - south) < limit:
        return replace(feature, geometry=shapely.GeometryCollection())
    return replace(feature, geometry=feature.geometry.simplify(limit))


def _geojson(feature: Feature) -> dict[str, Any]:
    known = {key: value for key, value in feature.properties.items() if value is not None}
    shape = None if feature.geometry.is_empty else shapely.geometry.mapping(feature.geometry)
    return {"type": "Feature", "geometry": shape, "properties": known}


@contextmanager
def serving_features(table: gpd.GeoDataFrame) -> Iterator[FeatureServer]:
    server = FeatureServer(table)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
