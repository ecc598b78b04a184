"""Figures and one static HTML page of a dataset."""

from ssl4eco_data.report.page import write_report

__all__ = ["write_report"]
