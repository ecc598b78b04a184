"""Prefect flows: thin decorations around :mod:`ssl4eco_data.pipeline`.

Importing this package turns Prefect's telemetry off and gives its temporary server time to start on a busy
machine, unless the environment says otherwise: Prefect reads the environment when it is first imported, so it
cannot be said later.
"""

import os

NO_TELEMETRY = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
}

PATIENCE = {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120"}

for name, value in (NO_TELEMETRY | PATIENCE).items():
    os.environ.setdefault(name, value)
