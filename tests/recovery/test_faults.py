"""A statement that is stopped or starved leaves nothing half made, and the server goes on."""

import os
import resource
import threading
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from answers import FUNCTIONS, Search, sound
from cluster import Cluster, alive, as_server

ROWS, DIMS = 20_000, 64
PHASES = {
    "ivfflat": ["performing k-means", "assigning tuples", "loading tuples"],
    "hnsw": ["loading tuples", "building graph"],
}

BUILDS = {
    "alone": "SET max_parallel_maintenance_workers = 0; SET maintenance_work_mem = '64MB'",
    "parallel": "SET max_parallel_maintenance_workers = 2; SET min_parallel_table_scan_size = 0;"
    " SET maintenance_work_mem = '128MB'",
    "spilling": "SET max_parallel_maintenance_workers = 0; SET maintenance_work_mem = '4MB'",
}

ORDER = f"v <-> numbers(5, 1, {DIMS})::vector"
L2 = Search("item", "item_l2", "ivfflat", "v vector_l2_ops", ORDER, "WITH (lists = 60)")
GRAPH = Search("item", "item_l2", "hnsw", "v vector_l2_ops", ORDER, "WITH (m = 8, ef_construction = 32, rerank = 'index')")
each_method = pytest.mark.parametrize("search", [L2, GRAPH], ids=["ivfflat", "hnsw"])


@pytest.fixture(scope="module")
def server():
    cluster = Cluster("faults", settings={"shared_buffers": "16MB", "max_wal_size": "64MB"})
    try:
        cluster.create().start()
        with cluster.connect() as connection:
            connection.execute("CREATE EXTENSION pgnear;" + FUNCTIONS)
            connection.execute(f"CREATE TABLE item (id bigint, v vector({DIMS}))")
            connection.execute("ALTER TABLE item ALTER v SET STORAGE PLAIN")
            connection.execute(
                f"INSERT INTO item SELECT i, numbers(i, i / 1009, {DIMS})::vector FROM generate_series(1, {ROWS}) i"
            )
            connection.execute("VACUUM (FREEZE, ANALYZE) item")
        yield cluster
        assert cluster.crashes() == []
    finally:
        cluster.remove()


def files(cluster, connection):
    """Files of the database that no relation owns, and temporary files."""
    base = connection.execute(
        "SELECT 'base/' || oid FROM pg_database WHERE datname = current_database()"
    ).fetchone()[0]
    # Files of dropped relations go with a checkpoint.
    connection.execute("CHECKPOINT")
    known = {
        str(number)
        for (number,) in connection.execute(
            "SELECT pg_relation_filenode(oid) FROM pg_class WHERE pg_relation_filenode(oid) IS NOT NULL"
        )
    }
    numbered = [path.name for path in (cluster.data / base).iterdir() if path.name[0].isdigit()]
    left = [name for name in numbered if name.split(".")[0].split("_")[0] not in known]
    return left + [path.name for path in cluster.data.glob("base/pgsql_tmp/*")]


def nothing_left(cluster):
    """No index, no file, no damage to the table; and the server builds when it is let."""
    with cluster.connect() as connection:
        indexes = connection.execute("SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 'item'::regclass")
        assert indexes.fetchall() == []
        assert connection.execute("SELECT count(*) FROM item").fetchone() == (ROWS,)
        assert files(cluster, connection) == []
    assert cluster.crashes() == []


class Build(threading.Thread):
    """Builds an index in a session of its own, and keeps how it ended."""

    def __init__(self, cluster, settings, statement):
        super().__init__(daemon=True)
        self.connection = cluster.connect()
        self.connection.execute(settings)
        self.pid = self.connection.info.backend_pid
        self.statement = statement
        self.error = None

    def run(self):
        try:
            self.connection.execute(self.statement)
        except psycopg.Error as error:
            self.error = error


@each_method
@pytest.mark.parametrize("settings", BUILDS.values(), ids=BUILDS)
def test_a_build_is_cancelled_in_each_phase(server, settings, search):
    with server.connect() as observer:
        for phase in PHASES[search.method]:
            # Seen in a phase, a build may have left it when the signal comes: then another is made.
            for attempt in range(50):
                if cancelled_in(server, observer, settings, search, phase):
                    break
                observer.execute("DROP INDEX IF EXISTS item_l2")
            else:
                raise AssertionError(f"never cancelled in the phase '{phase}'")
            print(f"cancelled while {phase}, attempt {attempt + 1}")
            nothing_left(server)
    with server.connect() as connection:
        connection.execute(settings)
        connection.execute(search.create)
        assert sound(connection, [search]) == ROWS
        connection.execute("DROP INDEX item_l2")


def cancelled_in(server, observer, settings, search, phase):
    build = Build(server, settings, search.create)
    build.start()
    look = "SELECT phase FROM pg_stat_progress_create_index WHERE pid = %s"
    while build.is_alive():
        seen = observer.execute(look, [build.pid]).fetchone()
        if seen and phase in seen[0]:
            observer.execute("SELECT pg_cancel_backend(%s)", [build.pid])
            break
    build.join()
    build.connection.close()
    if build.error is None:
        return False
    assert isinstance(build.error, errors.QueryCanceled), build.error
    return True


@each_method
@pytest.mark.parametrize("settings", BUILDS.values(), ids=BUILDS)
def test_a_build_is_cancelled_at_any_moment(server, settings, search):
    """Whatever the moment, a build is cancelled or whole."""
    ended = {"cancelled": 0, "whole": 0}
    with server.connect() as connection:
        connection.execute(settings)
        for milliseconds in (1, 3, 7, 15, 30, 60, 120, 200, 400, 800):
            connection.execute(f"SET statement_timeout = {milliseconds}")
            try:
                connection.execute(search.create)
                ended["whole"] += 1
            except errors.QueryCanceled:
                ended["cancelled"] += 1
            connection.execute("RESET statement_timeout")
            if ended["whole"]:
                break
            nothing_left(server)
        connection.execute("DROP INDEX IF EXISTS item_l2")
    print(ended)
    nothing_left(server)


def end_timeout(connection):
    """The statement that ends a timeout may be stopped by it."""
    while True:
        try:
            connection.execute("RESET statement_timeout")
            return
        except errors.QueryCanceled:
            pass


@each_method
def test_other_statements_are_cancelled_at_any_moment(server, search):
    """Whatever an insert, a vacuum or a search that is stopped leaves, the index is sound."""
    options = "WITH (lists = 3)" if search.method == "ivfflat" else ""
    wide = Search("big", "big_l2", search.method, "v vector_l2_ops", "v <-> numbers(5, 1, 3000)::vector", options)
    statements = [
        "INSERT INTO item SELECT id + 100000, v FROM item WHERE id <= 3000",
        "INSERT INTO big SELECT id + 100000, v FROM big WHERE id <= 100",
        "VACUUM item",
        "VACUUM big",
        f"SELECT id FROM item ORDER BY {search.order} LIMIT 10000",
        "SELECT * FROM pgnear_index_check('item_l2')",
    ]
    cancelled = dict.fromkeys(statements, 0)
    with server.connect() as connection:
        connection.execute("CREATE TABLE big (id bigint, v vector(3000))")
        connection.execute("INSERT INTO big SELECT i, numbers(i, 0, 3000)::vector FROM generate_series(1, 100) i")
        for each in (search, wide):
            connection.execute(each.create)
        connection.execute("SET enable_seqscan = off; SET ivfflat.probes = 60; SET hnsw.ef_search = 1000")
        for milliseconds in (1, 2, 4, 6, 9, 13, 19, 28, 42):
            for statement in statements:
                connection.execute(f"SET statement_timeout = {milliseconds}")
                try:
                    connection.execute(statement)
                except errors.QueryCanceled:
                    cancelled[statement] += 1
                end_timeout(connection)
            connection.execute("DELETE FROM item WHERE id > 100000; DELETE FROM big WHERE id > 100000")
        assert sum(cancelled.values()) > 0
        assert sound(connection, [search, wide]) == ROWS + 100
        connection.execute("VACUUM item")
        connection.execute("VACUUM big")
        assert sound(connection, [search, wide]) == ROWS + 100
        # All that was left without an owner has one now, or is free.
        assert connection.execute("SELECT * FROM pgnear_index_check('big_l2')").fetchall() == []
        connection.execute("DROP TABLE big; DROP INDEX item_l2")
    print(cancelled)
    nothing_left(server)


class Limit:
    """A limit on what a backend may use, for as long as this lasts. Only its own: the server has none."""

    def __init__(self, connection, kind, value):
        self.pid, self.kind, self.value = connection.info.backend_pid, kind, value

    def set(self, value):
        """Sets the limit of the backend, as its own user: root may lack the right."""
        child = os.fork()
        if child == 0:
            status = 1
            try:
                who = as_server()
                if who:
                    os.setgroups([])
                    os.setgid(who["group"])
                    os.setuid(who["user"])
                most = resource.prlimit(self.pid, self.kind)[1]
                resource.prlimit(self.pid, self.kind, (most if value is None else value, most))
                status = 0
            finally:
                os._exit(status)
        return os.waitpid(child, 0)[1] == 0

    def __enter__(self):
        assert self.set(self.value), "the limit could not be set"

    def __exit__(self, *error):
        assert self.set(None) or not alive(self.pid), "the limit could not be lifted"


@each_method
@pytest.mark.parametrize("settings", BUILDS.values(), ids=BUILDS)
def test_a_full_disk_stops_a_build(server, settings, search):
    """A file cannot grow beyond a size: the index's, or that of a sort that spills."""
    failed = 0
    with server.connect() as connection:
        connection.execute(settings)
        connection.execute("SET max_parallel_maintenance_workers = 0")  # a limit is one process's
        for size in (64 << 10, 1 << 20, 3 << 20, 5 << 20):
            with Limit(connection, resource.RLIMIT_FSIZE, size), pytest.raises(psycopg.Error) as raised:
                connection.execute(search.create)
            # The size of a file is no error that PostgreSQL has a state for, other than a full disk.
            assert raised.value.sqlstate in ("53100", "XX000", "58030"), raised.value
            assert "File too large" in str(raised.value) or "No space left" in str(raised.value)
            failed += 1
            nothing_left(server)
        connection.execute(search.create)
        # An insert that needs a page finds no room for it; the statement is undone.
        size = connection.execute("SELECT pg_relation_size('item_l2')").fetchone()[0]
        with Limit(connection, resource.RLIMIT_FSIZE, size), pytest.raises(psycopg.Error) as raised:
            connection.execute("INSERT INTO item SELECT id + 1000000, v FROM item")
        assert "File too large" in str(raised.value)
        connection.execute("VACUUM item")
        assert sound(connection, [search]) == ROWS
        connection.execute("DROP INDEX item_l2")
    assert failed == 4
    nothing_left(server)


@each_method
def test_out_of_memory_is_an_error(server, search):
    """Memory for a build, an insert and a search may end anywhere: 53200, and the session goes on."""
    refused = {"build": 0, "insert": 0, "search": 0}
    find = f"SELECT id FROM item ORDER BY {search.order} LIMIT 20000"
    insert = "INSERT INTO item SELECT id + 1000000, v FROM item WHERE id <= 100"
    with server.connect() as connection:
        for settings in (BUILDS["alone"], BUILDS["alone"] + "; SET pgnear.max_threads = 4"):
            connection.execute(settings)
            connection.execute(search.create)
            connection.execute("DROP INDEX item_l2")
            for megabytes in (1, 2, 4, 6, 8, 12, 16, 24):
                if starved(connection, megabytes, search.create):
                    refused["build"] += 1
                else:
                    connection.execute("DROP INDEX item_l2")
                nothing_left(server)
        assert refused["build"] > 0
    with server.connect() as connection:
        connection.execute(search.create)
    for kilobytes in (64, 256, 512, 1024, 2048):
        for name, statement in (("search", find), ("insert", insert)):
            # A new session: memory that was used before would be there for use again.
            with server.connect() as connection:
                connection.execute("SET enable_seqscan = off; SET ivfflat.probes = 60; SET hnsw.ef_search = 1000")
                connection.execute(f"EXPLAIN {statement}")
                refused[name] += starved(connection, kilobytes / 1024, statement)
                connection.execute("DELETE FROM item WHERE id > 1000000")
    print(refused)
    with server.connect() as connection:
        connection.execute("VACUUM item")
        assert sound(connection, [search]) == ROWS
        connection.execute("DROP INDEX item_l2")
    nothing_left(server)


def starved(connection, megabytes, statement):
    """Whether the statement ran out of memory with so much more than the session has."""
    status = Path(f"/proc/{connection.info.backend_pid}/status").read_text()
    size = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmSize:"))
    try:
        with Limit(connection, resource.RLIMIT_AS, (size << 10) + int(megabytes * (1 << 20))):
            connection.execute(statement)
        return False
    except psycopg.Error as error:
        assert error.sqlstate == "53200", f"{statement}, {megabytes} MB: {error.sqlstate} {error}"
        connection.execute("SELECT 1")
        return True


def test_others_may_not_verify_an_index(server):
    with server.connect() as connection:
        connection.execute("CREATE TABLE secret (v vector(3)); CREATE INDEX ON secret USING ivfflat (v vector_l2_ops)")
        connection.execute("CREATE ROLE stranger; GRANT SELECT ON secret TO stranger; SET ROLE stranger")
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM pgnear_index_check('secret_v_idx')")
        connection.execute("RESET ROLE; DROP TABLE secret; DROP ROLE stranger")
