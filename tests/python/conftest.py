"""Fresh databases on the server that the environment names (PGHOST, PGPORT, PGUSER, PGDATABASE).

Each module runs twice: in a database with the extension `pgnear`, and in one with `vector`, which on
the test server is pgnear under pgvector's name.
"""

import os
import re
import subprocess
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

ROOT = Path(__file__).resolve().parents[2]
EXTENSIONS = ["pgnear", "vector"]


class Server:
    """The server under test, and the programs that came with it."""

    def __init__(self):
        # Missing ones are an error: without them the tests would run on somebody's own server.
        self.host = os.environ["PGHOST"]
        self.port = os.environ["PGPORT"]
        self.user = os.environ["PGUSER"]
        self.maintenance = os.environ["PGDATABASE"]
        self.bin = Path(os.environ["PGBIN"])

    def conninfo(self, database):
        return psycopg.conninfo.make_conninfo(
            host=self.host, port=self.port, user=self.user, dbname=database
        )

    def connect(self, database, **options):
        return psycopg.connect(self.conninfo(database), **options)

    def url(self, database):
        """What SQLAlchemy takes: `postgresql+psycopg://…`; the host is a socket's folder."""
        return f"postgresql+psycopg://{self.user}@/{database}?host={self.host}&port={self.port}"

    def create(self, database):
        self.drop(database)
        self.administer("CREATE DATABASE {} TEMPLATE template0", database)

    def drop(self, database):
        self.administer("DROP DATABASE IF EXISTS {} WITH (FORCE)", database)

    def administer(self, statement, database):
        with self.connect(self.maintenance, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(database)))

    def run(self, program, *arguments, database, stdin=None):
        """Runs psql, pg_dump or pg_restore against a database; what it printed, once it succeeded."""
        environment = dict(os.environ, PGDATABASE=database)
        outcome = subprocess.run(
            [self.bin / program, *map(str, arguments)],
            env=environment,
            input=stdin or "",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert outcome.returncode == 0, f"{program}: {outcome.stdout}"
        return outcome.stdout


@pytest.fixture(scope="session")
def server():
    return Server()


@pytest.fixture(scope="module", params=EXTENSIONS)
def extension(request):
    """The name that the extension goes by."""
    return request.param


@pytest.fixture(scope="module")
def empty_database(server, extension, request):
    """The name of a database of the module's own, without the extension."""
    module = re.sub(r"\W", "_", request.module.__name__)
    database = f"{module}_{extension}"
    server.create(database)
    yield database
    server.drop(database)


@pytest.fixture(scope="module")
def database(server, extension, empty_database):
    """The name of a database of the module's own, with the extension."""
    with server.connect(empty_database, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE EXTENSION {}").format(sql.Identifier(extension)))
    return empty_database
