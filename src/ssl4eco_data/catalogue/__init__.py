"""How a dataset is found and cited: STAC collection and items, dataset card, references and attribution."""

from __future__ import annotations

from ssl4eco_data.catalogue.citation import Citation, cite_dataset, describe_citation

__all__ = ["Citation", "cite_dataset", "describe_citation"]
