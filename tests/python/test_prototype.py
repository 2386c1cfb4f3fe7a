"""The programs in examples/: what they answer, and that a reader can run them."""

import importlib.util
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from pgvector.psycopg import register_vector
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session


def example(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Psycopg:
    name = "prototype_psycopg"

    def __init__(self, server, database):
        self.example = example(self.name)
        self.handle = server.connect(database)
        register_vector(self.handle)
        self.address = server.conninfo(database)

    def run(self, statement):
        return self.handle.execute(statement)

    def rows(self):
        return self.handle.execute("SELECT id, category, embedding FROM item").fetchall()


class SqlAlchemy:
    name = "prototype_sqlalchemy"

    def __init__(self, server, database):
        self.example = example(self.name)
        self.engine = create_engine(server.url(database))
        self.handle = Session(self.engine)
        self.address = server.url(database)

    def run(self, statement):
        return self.handle.execute(text(statement))

    def rows(self):
        Item = self.example.Item
        return [(item.id, item.category, item.embedding) for item in self.handle.query(Item)]


@pytest.fixture(scope="module", params=[Psycopg, SqlAlchemy], ids=lambda client: client.name)
def prototype(server, database, request):
    with server.connect(database, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS item")
    client = request.param(server, database)
    client.query = client.example.load(client.handle)
    client.stored = {
        id: (category, np.array(vector.to_list() if hasattr(vector, "to_list") else vector))
        for id, category, vector in client.rows()
    }
    yield client
    client.handle.rollback()
    client.handle.close()
    if isinstance(client, SqlAlchemy):
        client.engine.dispose()


def exact(client, category):
    scores = {
        id: float(vector @ client.query.astype(float))
        for id, (found, vector) in client.stored.items()
        if category in (None, found)
    }
    return sorted(scores, key=scores.get, reverse=True)[:5], scores


@pytest.mark.parametrize("category", [None, 3])
@pytest.mark.parametrize("scan", ["exact", "index"])
def test_answers(prototype, category, scan):
    prototype.run(f"SET enable_indexscan = {'on' if scan == 'index' else 'off'}")
    prototype.run(f"SET enable_seqscan = {'off' if scan == 'index' else 'on'}")
    asked = "SELECT id FROM item ORDER BY embedding <#> (SELECT embedding FROM item LIMIT 1) LIMIT 5"
    plan = "\n".join(line for (line,) in prototype.run(f"EXPLAIN {asked}"))
    assert ("Index Scan using item_embedding" in plan) == (scan == "index")
    rows = prototype.example.nearest(prototype.handle, prototype.query, category)
    best, scores = exact(prototype, category)
    assert len(prototype.stored) == 1000 and sorted(prototype.stored) == list(range(1, 1001))
    assert len(rows) == 5
    assert [score for _, score in rows] == sorted((score for _, score in rows), reverse=True)
    for id, score in rows:
        assert score == pytest.approx(scores[id], rel=1e-5)
    if scan == "exact":
        assert [id for id, _ in rows] == best
    if scan == "index":
        # A tenth of the lists of random rows, which have no neighbourhoods to speak of.
        assert scores[rows[0][0]] >= np.quantile(list(scores.values()), 0.95)


def test_the_program_runs(server, prototype, extension):
    """As its first lines say, in an empty database, where it creates the extension itself."""
    database = f"test_prototype_run_{extension}"
    server.create(database)
    try:
        address = server.url(database) if isinstance(prototype, SqlAlchemy) else server.conninfo(database)
        program = ROOT / "examples" / f"{prototype.name}.py"
        outcome = subprocess.run(
            [sys.executable, program, address], capture_output=True, text=True, env=os.environ
        )
        assert outcome.returncode == 0, outcome.stderr
        lines = outcome.stdout.splitlines()
        assert [line for line in lines if line.startswith("category")] == ["category: any", "category: 3"]
        assert len([line for line in lines if re.fullmatch(r" +\d+ +\d+\.\d{4}", line)]) == 10
    finally:
        server.drop(database)
