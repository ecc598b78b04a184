"""A cluster with more workers than the configuration says would ask the archive too much."""

from __future__ import annotations

import pytest
from distributed import LocalCluster

from flows import dataset
from ssl4eco_data.errors import ConfigError


def test_more_workers_than_said_are_refused() -> None:
    with LocalCluster(
        n_workers=3, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
    ) as cluster:
        dataset._refuse_unfit(cluster.scheduler_address, 3)
        with pytest.raises(ConfigError, match=r"has 3 workers.*set run\.workers = 3"):
            dataset._refuse_unfit(cluster.scheduler_address, 2)


def test_a_scheduler_without_workers_is_refused_instead_of_waited_for() -> None:
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        pytest.raises(ConfigError, match=r"has no workers.*start 2"),
    ):
        dataset._refuse_unfit(cluster.scheduler_address, 2)
