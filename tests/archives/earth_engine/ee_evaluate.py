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
from ee_reduce import in_degrees, reductions
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
    """Whole numbers get the narrowest type, as the service gives them."""
    dtype = np.min_scalar_type(int(value)) if float(value).is_integer() else np.dtype("f8")

    def layer(grid: Grid) -> np.ma.MaskedArray:
        size = grid["dimensions"]
        return np.ma.MaskedArray(np.full((size["height"], size["width"]), value, dtype))

    return Image({"constant": layer}, {})


def _cast(dtype: str) -> Callable[[Image], Image]:
    return lambda value: _each_layer(value, lambda a: a.astype(dtype))


def _in_one_type(operation: Callable[..., Any]) -> Callable[..., np.ma.MaskedArray]:
    """Arithmetic in the union of both types, beyond which numbers do not go."""

    def computed(a: np.ma.MaskedArray, b: np.ma.MaskedArray) -> np.ma.MaskedArray:
        dtype = np.promote_types(a.dtype, b.dtype)
        return operation(a.astype(dtype), b.astype(dtype))

    return computed


def _pairwise(operation: Callable[..., np.ma.MaskedArray]) -> Callable[[Image, Image], Image]:
    """Band by band, one band going with all; the result keeps no properties."""

    def of_images(image1: Image, image2: Image) -> Image:
        return Image(_paired(image1, image2, operation), {})

    return of_images


def _paired(image1: Image, image2: Image, operation: Callable[..., np.ma.MaskedArray]) -> dict[str, Layer]:
    second = list(image2.layers.values())
    if len(second) == 1:
        second *= len(image1.layers)
    if len(second) != len(image1.layers):
        raise GraphError(f"{len(image1.layers)} bands and {len(second)} bands do not go together")

    def both(a: Layer, b: Layer) -> Layer:
        return lambda grid: operation(a(grid), b(grid))

    return {name: both(a, b) for (name, a), b in zip(image1.layers.items(), second, strict=True)}


def _update_mask(image: Image, mask: Image) -> Image:
    def masked(a: np.ma.MaskedArray, m: np.ma.MaskedArray) -> np.ma.MaskedArray:
        return np.ma.MaskedArray(a.data, np.ma.getmaskarray(a) | (m.filled(0) == 0))

    return replace(image, layers=_paired(image, mask, masked))


def _remap(image: Image, to: list[float], defaultValue: float | None = None, **given: Any) -> Image:
    """The first band; its name is ``remapped``."""
    table = dict(zip(given["from"], to, strict=True))

    def mapped(a: np.ma.MaskedArray) -> np.ma.MaskedArray:
        known = np.isin(a.data, list(table))
        values = np.vectorize(lambda v: table.get(v, defaultValue or 0), otypes=["u1"])(a.data)
        hidden = np.ma.getmaskarray(a) | (~known if defaultValue is None else False)
        return np.ma.MaskedArray(values, hidden)

    return Image({"remapped": next(iter(_each_layer(image, mapped).layers.values()))}, {})


def _link_collection(
    input: Image,
    imageCollection: list[Image],
    linkedBands: list[str],
    matchPropertyName: str = "system:index",
) -> Image:
    wanted = input.properties[matchPropertyName]
    found = [i for i in imageCollection if i.properties.get(matchPropertyName) == wanted]

    def nothing(grid: Grid) -> np.ma.MaskedArray:
        size = grid["dimensions"]
        return np.ma.masked_all((size["height"], size["width"]), "f4")

    linked = _select(found[0], linkedBands).layers if found else dict.fromkeys(linkedBands, nothing)
    return replace(input, layers=input.layers | linked)


def _to_image(dictionary: Mapping[str, Any], names: list[str]) -> Image:
    if absent := sorted(name for name in names if dictionary.get(name) is None):
        raise GraphError(f"Dictionary.toImage: no number for {absent}")
    return Image({name: _constant(dictionary[name]).layers["constant"] for name in names}, {})


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
    **reductions(),
    "Collection.filter": lambda collection, filter: [i for i in collection if filter(i)],
    "Dictionary.toImage": _to_image,
    "Collection.map": lambda collection, baseAlgorithm, dropNulls=False: [
        baseAlgorithm(i) for i in collection
    ],
    "DateRange": lambda start, end: (_milliseconds(start), _milliseconds(end)),
    "Filter.dateRangeContains": _date_range,
    "Filter.listContains": lambda leftValue, rightField: lambda i: i.properties.get(rightField) in leftValue,
    "Filter.inList": lambda leftField, rightValue: lambda i: i.properties.get(leftField) in rightValue,
    "Filter.intersects": lambda leftField, rightValue: (
        lambda i: _geometry_of(i).intersects(in_degrees(rightValue))
    ),
    "Feature": lambda geometry, metadata=None: geometry,
    "GeometryConstructors.Polygon": lambda coordinates, **_: shape(
        {"type": "Polygon", "coordinates": coordinates}
    ),
    "GeometryConstructors.MultiPolygon": lambda coordinates, **_: shape(
        {"type": "MultiPolygon", "coordinates": coordinates}
    ),
    "Image.addBands": _add_bands,
    "Image.bandNames": lambda image: list(image.layers),
    "Image.cat": _cat,
    "Image.constant": _constant,
    "Image.gt": _pairwise(lambda a, b: (a > b).astype("u1")),
    "Image.gte": _pairwise(lambda a, b: (a >= b).astype("u1")),
    "Image.linkCollection": _link_collection,
    "Image.multiply": _pairwise(_in_one_type(np.ma.multiply)),
    "Image.remap": _remap,
    "Image.rename": lambda input, names: _select(input, list(input.layers), names),
    "Image.select": _select,
    "Image.toInt16": _cast("i2"),
    "Image.toInt32": _cast("i4"),
    "Image.toUint16": _cast("u2"),
    "Image.subtract": _pairwise(_in_one_type(np.ma.subtract)),
    "Image.unmask": _unmask,
    "Image.updateMask": _update_mask,
    "ImageCollection.toBands": _to_bands,
}
