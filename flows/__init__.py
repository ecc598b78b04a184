"""Prefect flows: thin decorations around :mod:`ssl4eco_data.pipeline`.

Importing this package turns Prefect's telemetry off, unless the environment says otherwise: Prefect reads the
environment when it is first imported, so it cannot be said later.
"""

import os

NO_TELEMETRY = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
}

for name, value in NO_TELEMETRY.items():
    os.environ.setdefault(name, value)
