"""Evaluates the part of the Earth Engine language that the archive speaks, over the images of a world."""

# ruff: noqa: N803 (argument names are the service's)
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from ee_graphs import GraphError, Node
from ee_world import SINUSOIDAL, ServedImage, World
from pyproj import Transformer
from shapely.geometry import shape

Grid = Mapping[str, Any]
Layer = Callable[[Grid], np.ma.MaskedArray]
CRS = {"SR-ORG:6974": SINUSOIDAL}


@cache
def _file(path: Path) -> tuple[np.ndarray, Any]:
    with rasterio.open(path) as file:
        return file.read(1), file.transform


def _layer(path: Path, crs: str, nodata: int) -> Layer:
    """Nearest neighbour at the centres of the grid's pixels, masked outside the file and where no data."""

    def sample(grid: Grid) -> np.ma.MaskedArray:
        array, transform = _file(path)
        affine, size = grid["affineTransform"], grid["dimensions"]
        column, row = np.meshgrid(np.arange(size["width"]) + 0.5, np.arange(size["height"]) + 0.5)
        x = affine["translateX"] + affine["scaleX"] * column
        y = affine["translateY"] + affine["scaleY"] * row
        target = CRS.get(grid["crsCode"], grid["crsCode"])
        if target != crs:
            x, y = Transformer.from_crs(target, crs, always_xy=True).transform(x, y)
        columns, rows = (x - transform.c) / transform.a, (y - transform.f) / transform.e
        i, j = np.floor(rows).astype(int), np.floor(columns).astype(int)
        outside = (i < 0) | (j < 0) | (i >= array.shape[0]) | (j >= array.shape[1])
        values = array[np.where(outside, 0, i), np.where(outside, 0, j)]
        return np.ma.MaskedArray(values, outside | (values == nodata))

    return sample


@dataclass(frozen=True)
class Image:
    """Named layers and properties; ``served`` is the image as it is stored."""

    layers: dict[str, Layer]
    properties: Mapping[str, Any]
    served: ServedImage | None = None


def described(image: Image) -> dict[str, Any]:
    """What ``value:compute`` answers for an image."""
    bands = []
    if image.served is None:
        raise GraphError("only stored images are described here")
    for name in image.layers:
        array, t = _file(image.served.bands[name])
        bands.append(
            {
                "id": name,
                "crs": image.served.crs,
                "crs_transform": [t.a, t.b, t.c, t.d, t.e, t.f],
                "dimensions": list(array.shape[::-1]),
                "data_type": {"type": "PixelType", "precision": "int"},
            }
        )
    ring = {"type": "LinearRing", "coordinates": image.served.footprint["coordinates"][0]}
    asset = f"{image.served.collection}/{image.served.index}"
    properties = {**image.properties, "system:footprint": ring}
    return {"type": "Image", "id": asset, "bands": bands, "properties": properties}


class Evaluator:
    """Runs one graph."""

    def __init__(self, world: World, expression: Node) -> None:
        self._world, self._values, self._root = world, expression["values"], expression["result"]

    def run(self) -> Any:
        return self._node({"valueReference": self._root}, {})

    def _node(self, node: Node, scope: Mapping[str, Any]) -> Any:
        ((kind, value),) = node.items()
        if kind == "constantValue":
            return value
        if kind == "integerValue":
            return int(value)
        if kind == "valueReference":
            return self._node(self._values[value], scope)
        if kind == "argumentReference":
            return scope[value]
        if kind == "arrayValue":
            return [self._node(each, scope) for each in value["values"]]
        if kind == "dictionaryValue":
            return {key: self._node(each, scope) for key, each in value["values"].items()}
        if kind == "functionDefinitionValue":
            return lambda *given: self._node(
                {"valueReference": value["body"]},
                {**scope, **dict(zip(value["argumentNames"], given, strict=True))},
            )
        arguments = {name: self._node(each, scope) for name, each in value.get("arguments", {}).items()}
        return self._call(value["functionName"], arguments)

    def _call(self, name: str, arguments: dict[str, Any]) -> Any:
        if name == "ImageCollection.load":
            found = [_stored(i) for i in self._world.images if i.collection == arguments["id"]]
            if not found:
                raise GraphError(f"ImageCollection.load: '{arguments['id']}' not found")
            return found
        if name == "Image.load":
            for each in self._world.images:
                if f"{each.collection}/{each.index}" == arguments["id"]:
                    return _stored(each)
            raise GraphError(f"Image.load: Image asset '{arguments['id']}' not found")
        if name not in FUNCTIONS:
            raise GraphError(f"{name} is valid and not evaluated here")
        return FUNCTIONS[name](**arguments)


def _stored(image: ServedImage) -> Image:
    layers = {name: _layer(path, image.crs, image.nodata) for name, path in image.bands.items()}
    return Image(layers, image.properties, image)


def _milliseconds(value: Any) -> float:
    if isinstance(value, str):
        return datetime.fromisoformat(value).replace(tzinfo=UTC).timestamp() * 1000
    return float(value)


def _select(input: Image, bandSelectors: list[str], newNames: list[str] | None = None) -> Image:
    if absent := sorted(set(bandSelectors) - set(input.layers)):
        raise GraphError(f"Image.select: no band matches {absent}")
    names = newNames or bandSelectors
    chosen = {new: input.layers[old] for new, old in zip(names, bandSelectors, strict=True)}
    return replace(input, layers=chosen)


def _each_layer(image: Image, change: Callable[[np.ma.MaskedArray], np.ma.MaskedArray]) -> Image:
    def changed(layer: Layer) -> Layer:
        return lambda grid: change(layer(grid))

    return replace(image, layers={name: changed(layer) for name, layer in image.layers.items()})


def _unmask(input: Image, value: Image, sameFootprint: bool = True) -> Image:
    if sameFootprint:
        raise GraphError("Image.unmask is evaluated with sameFootprint=False alone")
    (fill,) = value.layers.values()
    constant = fill({"dimensions": {"width": 1, "height": 1}}).item()
    return _each_layer(input, lambda a: np.ma.MaskedArray(a.astype(np.int32).filled(constant)))


def _constant(value: float) -> Image:
    def layer(grid: Grid) -> np.ma.MaskedArray:
        size = grid["dimensions"]
        return np.ma.MaskedArray(np.full((size["height"], size["width"]), value))

    return Image({"constant": layer}, {})


def _cast(dtype: str) -> Callable[[Image], Image]:
    return lambda value: _each_layer(value, lambda a: a.astype(dtype))


def _add_bands(dstImg: Image, srcImg: Image, **_: Any) -> Image:
    if clash := sorted(set(dstImg.layers) & set(srcImg.layers)):
        raise GraphError(f"bands {clash} are there already")
    return replace(dstImg, layers=dstImg.layers | srcImg.layers)


def _cat(images: list[Image]) -> Image:
    found = images[0]
    for image in images[1:]:
        found = _add_bands(found, image)
    return found


def _to_bands(collection: list[Image]) -> Image:
    layers = {
        f"{image.properties['system:index']}_{name}": layer
        for image in collection
        for name, layer in image.layers.items()
    }
    return Image(layers, {})


def _geometry_of(image: Image) -> Any:
    if image.served is None:
        raise GraphError("only stored images have a footprint here")
    return shape(image.served.footprint)


def _date_range(leftValue: tuple[float, float], rightField: str) -> Callable[[Image], bool]:
    return lambda image: leftValue[0] <= image.properties[rightField] < leftValue[1]


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "Collection.filter": lambda collection, filter: [i for i in collection if filter(i)],
    "Collection.map": lambda collection, baseAlgorithm, dropNulls=False: [
        baseAlgorithm(i) for i in collection
    ],
    "DateRange": lambda start, end: (_milliseconds(start), _milliseconds(end)),
    "Filter.dateRangeContains": _date_range,
    "Filter.listContains": lambda leftValue, rightField: lambda i: i.properties.get(rightField) in leftValue,
    "Filter.inList": lambda leftField, rightValue: lambda i: i.properties.get(leftField) in rightValue,
    "Filter.intersects": lambda leftField, rightValue: lambda i: _geometry_of(i).intersects(rightValue),
    "Feature": lambda geometry, metadata=None: geometry,
    "GeometryConstructors.Polygon": lambda coordinates, **_: shape(
        {"type": "Polygon", "coordinates": coordinates}
    ),
    "GeometryConstructors.MultiPolygon": lambda coordinates, **_: shape(
        {"type": "MultiPolygon", "coordinates": coordinates}
    ),
    "Image.addBands": _add_bands,
    "Image.cat": _cat,
    "Image.constant": _constant,
    "Image.select": _select,
    "Image.toInt16": _cast("i2"),
    "Image.toUint16": _cast("u2"),
    "Image.unmask": _unmask,
    "ImageCollection.toBands": _to_bands,
}
