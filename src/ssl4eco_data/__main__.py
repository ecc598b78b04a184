"""``python -m ssl4eco_data`` is the ``ssl4eco`` command."""

from ssl4eco_data.cli import main

main()
