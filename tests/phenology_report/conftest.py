"""Phenology is compiled once for all workers."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def _compiled(compiled_phenology):
    pass
