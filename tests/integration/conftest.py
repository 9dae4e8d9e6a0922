"""The cluster that the tests on SLURM share, and the one process that runs them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.slurm_cluster import SlurmCluster, any_cluster


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests on SLURM in one process of `pytest -n`: they mostly wait for the cluster, and there is one."""
    for item in items:
        if item.path.name.startswith("test_slurm_"):
            item.add_marker(pytest.mark.xdist_group("slurm"))


@pytest.fixture(scope="session")
def shared_cluster() -> Iterator[SlurmCluster]:
    with any_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def module_cluster(shared_cluster: SlurmCluster) -> Iterator[SlurmCluster]:
    """The cluster for the tests of one module, which this process and its children find; cleared afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in shared_cluster.environment.items():
            patch.setenv(name, value)
        try:
            yield shared_cluster
        finally:
            shared_cluster.clear()


@pytest.fixture
def cluster(module_cluster: SlurmCluster) -> Iterator[SlurmCluster]:
    """The cluster for one test, cleared afterwards."""
    try:
        yield module_cluster
    finally:
        module_cluster.clear()


@pytest.fixture
def lab(cluster: SlurmCluster) -> SlurmCluster:
    """A cluster that a test may hurt."""
    if cluster.lab is None:
        pytest.skip("hurts the cluster: NINES_SLURM_UP names no script that starts a private one")
    return cluster
