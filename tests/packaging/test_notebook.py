"""The example notebook runs from its first cell to its last on a built dataset."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from tests.conftest import ROOT


def test_the_notebook_runs(built_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASET", str(built_config.parent / "dataset"))
    notebook = nbformat.read(ROOT / "examples" / "read_a_dataset.ipynb", as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    pictures = [output for cell in code for output in cell.outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == len(code) - 1
