"""Prefect flows: thin decorations around :mod:`ssl4eco_data.pipeline`."""
