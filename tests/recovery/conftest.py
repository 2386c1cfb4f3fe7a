"""Clusters of the tests' own, which end with the test or module that asked for them."""

import shutil

import pytest

import cluster as clusters
from cluster import Cluster


@pytest.fixture(scope="session", autouse=True)
def folder():
    """An empty folder for clusters: an interrupted run may have left servers."""
    path = clusters.CLUSTERS
    if path.exists():
        for left in path.iterdir():
            if (left / "postmaster.pid").exists():
                clusters.program("pg_ctl", "stop", "-D", left, "-m", "immediate", "-s", check=False)
        shutil.rmtree(path)
    path.mkdir()
    clusters.give_to_server(path)
    yield path
    shutil.rmtree(path)


class Made:
    """Makes clusters and removes them all at the end."""

    def __init__(self):
        self.clusters = []

    def __call__(self, name, **options):
        made = Cluster(name, **options)
        self.clusters.append(made)
        return made

    def end(self):
        for made in reversed(self.clusters):
            made.remove()


@pytest.fixture
def make_cluster():
    made = Made()
    yield made
    made.end()
