"""The checker itself refuses what the service would refuse."""

from __future__ import annotations

import pytest
from ee_graphs import Checker, GraphError, fits


def _call(name: str, **arguments):
    values = {key: {"constantValue": value} for key, value in arguments.items()}
    return {
        "result": "0",
        "values": {"0": {"functionInvocationValue": {"functionName": name, "arguments": values}}},
    }


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (_call("Image.lod", id="x"), "unknown algorithm"),
        (_call("Image.load", id="x", bands="B1"), "unexpected arguments"),
        (_call("Image.load"), "missing required"),
        (_call("Image.load", id=3), "must be String"),
        ({"result": "0", "values": {"0": {"valueReference": "7"}}}, "dangling"),
        ({"result": "0", "values": {"0": {"argumentReference": "x"}}}, "unbound"),
    ],
)
def test_wrong_graphs_are_refused(graph, message):
    with pytest.raises(GraphError, match=message):
        Checker(graph)


def test_types_fit_as_the_service_promotes_them():
    assert fits("Image<unknown bands>", "Element")
    assert fits("List<String>", "List<Object>")
    assert fits("FeatureCollection", "ImageCollection")
    assert not fits("List<Integer>", "List<String>")
    assert not fits("Float", "Integer")
    assert not fits("String", "Image<unknown bands>")
