"""Sessions beside each other, and the commands of a database's daily life, on one server."""

import threading

import pytest
from psycopg import errors

import load
import reuse
from answers import FUNCTIONS, Search, findings, sound
from cluster import Cluster, wait_for

SEARCH = Search("item", "item_v_idx", "ivfflat", "v vector_l2_ops", "v <-> numbers(5, 1, 16)::vector", "WITH (lists = 6)")
WIDE = Search("big", "big_v_idx", "ivfflat", "v vector_l2_ops", "v <-> numbers(5, 1, 3000)::vector", "WITH (lists = 3)")


@pytest.fixture(scope="module")
def server():
    cluster = Cluster("concurrency")
    try:
        cluster.create().start()
        yield cluster
        assert cluster.crashes() == []
    finally:
        cluster.remove()


@pytest.fixture
def database(server):
    """A fresh database; gives a function that connects to it."""
    server.query("DROP DATABASE IF EXISTS fresh WITH (FORCE)")
    server.query("CREATE DATABASE fresh")

    def connect(**options):
        return server.connect("fresh", **options)

    with connect() as connection:
        connection.execute("CREATE EXTENSION pgnear;" + FUNCTIONS)
    yield connect
    server.query("DROP DATABASE fresh WITH (FORCE)")


@pytest.fixture
def connection(database):
    """A session on two tables with rows and an index each: `item`, and `big` with wide vectors."""
    with database() as connection:
        connection.execute("CREATE TABLE item (id bigint, v vector(16)); CREATE TABLE big (id bigint, v vector(3000))")
        for search in (SEARCH, WIDE):
            fill(connection, search, 1, 20 if search is WIDE else 1000)
            connection.execute(search.create)
        yield connection


def fill(connection, search, first, rows):
    dims = 3000 if search is WIDE else 16
    connection.execute(
        f"INSERT INTO {search.table} SELECT i, numbers(i, i / 1009, {dims})::vector"
        f" FROM generate_series({first}, {first + rows - 1}) i"
    )


def test_pages_are_used_again_under_open_scans(database):
    with database() as connection:
        reuse.create(connection)
        scans = reuse.open_scans(database)
        # Their snapshots keep rows that others delete; what nobody sees goes.
        reuse.use_pages_again(connection)
        reuse.finish(scans)
        assert sound(connection, [reuse.SEARCH]) > reuse.ROWS


def test_rows_deleted_under_an_open_scan_are_still_its_own(database):
    with database() as connection:
        reuse.create(connection)
        scans = reuse.open_scans(database)
        connection.execute("DELETE FROM item")
        connection.execute("VACUUM (TRUNCATE off) item")
        reuse.insert(connection, 20_001, 3000)
        reuse.finish(scans)
        connection.execute("VACUUM item")
        assert sound(connection, [reuse.SEARCH]) == 3000


REBUILDS = {
    "REINDEX INDEX CONCURRENTLY": lambda s: [f"REINDEX INDEX CONCURRENTLY {s.name}"],
    "REINDEX INDEX": lambda s: [f"REINDEX INDEX {s.name}"],
    "CREATE INDEX CONCURRENTLY": lambda s: [
        f"DROP INDEX CONCURRENTLY {s.name}",
        s.create.replace("CREATE INDEX", "CREATE INDEX CONCURRENTLY"),
    ],
}


@pytest.mark.parametrize("name", REBUILDS)
def test_indexes_are_rebuilt_beside_writers_and_vacuum(server, name):
    """Every row that is written meanwhile is in the new index."""
    with server.connect() as connection:
        connection.execute("DROP TABLE IF EXISTS narrow, wide; DROP FUNCTION IF EXISTS numbers, bits")
        connection.execute("DROP EXTENSION IF EXISTS pgnear")
        load.create(connection)
    # Searches would miss an index that is dropped: only writers and vacuum go on.
    current = load.Load(server, name, searching=False).start()
    wait_for(lambda: current.busy(20), "transactions")
    with server.connect() as connection:
        for search in load.SEARCHES:
            for statement in REBUILDS[name](search):
                patiently(connection, statement, current)
    before = current.commits()
    wait_for(lambda: current.busy(before + 20), "transactions")
    current.end()
    with server.connect() as connection:
        current.check(connection)
        invalid = connection.execute("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid").fetchall()
        assert invalid == []
        rows = sound(connection, load.SEARCHES)
    print(f"{name}: {current.commits()} transactions, {rows} rows compared")


def patiently(connection, statement, current):
    """PostgreSQL may find a deadlock between a rebuild and a vacuum of the same table: then once more."""
    for _ in range(20):
        try:
            connection.execute(statement)
            return
        except errors.DeadlockDetected:
            current.failed()
    raise AssertionError(f"{statement}: deadlocks only")


def test_an_index_is_dropped_under_a_prepared_statement(connection):
    connection.execute("SET enable_seqscan = off; SET ivfflat.probes = 6")
    connection.execute(f"PREPARE near AS SELECT id FROM item ORDER BY {SEARCH.order} LIMIT 5")
    expected = connection.execute("EXECUTE near").fetchall()
    assert len(expected) == 5
    connection.execute(f"DROP INDEX {SEARCH.name}")
    assert connection.execute("EXECUTE near").fetchall() == expected
    connection.execute(SEARCH.create)
    assert connection.execute("EXECUTE near").fetchall() == expected


def test_an_index_cannot_be_dropped_under_an_open_scan_and_can_be_verified(connection, database):
    with database(autocommit=False) as scan, connection.cursor() as cursor:
        scan.execute("SET LOCAL enable_seqscan = off; SET LOCAL ivfflat.probes = 6")
        scan.execute(f"DECLARE scan CURSOR FOR SELECT id FROM item ORDER BY {SEARCH.order} LIMIT 100000")
        first = scan.execute("FETCH 10 FROM scan").fetchall()
        cursor.execute("SET lock_timeout = '100ms'")
        for statement in (f"DROP INDEX {SEARCH.name}", "TRUNCATE item", f"REINDEX INDEX {SEARCH.name}"):
            with pytest.raises(errors.LockNotAvailable):
                cursor.execute(statement)
        assert findings(connection, SEARCH.name) == []
        assert len(first + scan.execute("FETCH ALL FROM scan").fetchall()) == 1000
        scan.rollback()


def test_truncate_empties_indexes_and_can_be_undone(connection):
    for search, rows in ((SEARCH, 1000), (WIDE, 20)):
        connection.execute(f"BEGIN; TRUNCATE {search.table}")
        fill(connection, search, 5001, 7)
        assert search.agree(connection) == 7
        connection.execute("ROLLBACK")
        assert sound(connection, [search]) == rows
        connection.execute(f"TRUNCATE {search.table}")
        assert sound(connection, [search]) == 0
        fill(connection, search, 1, rows)
        assert sound(connection, [search]) == rows


def test_rows_of_a_subtransaction_that_is_rolled_back_are_not_found(connection):
    for search, rows, more in ((SEARCH, 1000, 300), (WIDE, 20, 5)):
        connection.execute("BEGIN")
        fill(connection, search, 2001, more)
        connection.execute("SAVEPOINT part")
        fill(connection, search, 4001, more)
        connection.execute(f"DELETE FROM {search.table} WHERE id <= 10")
        assert search.agree(connection) == rows + 2 * more - 10
        connection.execute("ROLLBACK TO part")
        assert search.agree(connection) == rows + more
        connection.execute("COMMIT")
        connection.execute(f"VACUUM {search.table}")
        assert sound(connection, [search]) == rows + more


def test_a_prepared_transaction_keeps_its_rows_through_a_crash(make_cluster):
    cluster = make_cluster("prepared").create().start()
    with cluster.connect() as connection:
        connection.execute("CREATE EXTENSION pgnear;" + FUNCTIONS)
        connection.execute("CREATE TABLE item (id bigint, v vector(16))")
        fill(connection, SEARCH, 1, 500)
        connection.execute(SEARCH.create)
        for name, first in (("kept", 1001), ("undone", 2001)):
            connection.execute("BEGIN")
            fill(connection, SEARCH, first, 100)
            connection.execute(f"PREPARE TRANSACTION '{name}'")
        connection.execute("VACUUM item")
        # The verifier would wait for them: it keeps writers out.
        assert SEARCH.agree(connection) == 500
    cluster.kill()
    cluster.start()
    with cluster.connect() as connection:
        assert SEARCH.agree(connection) == 500
        connection.execute("COMMIT PREPARED 'kept'")
        connection.execute("ROLLBACK PREPARED 'undone'")
        connection.execute("VACUUM item")
        assert sound(connection, [SEARCH]) == 600


def test_temporary_tables_have_indexes(connection):
    connection.execute("CREATE TEMP TABLE passing (id bigint, v vector(16)) ON COMMIT PRESERVE ROWS")
    connection.execute("INSERT INTO passing SELECT * FROM item")
    search = Search("passing", "passing_idx", "ivfflat", "v vector_l2_ops", SEARCH.order, "WITH (lists = 4)")
    connection.execute(search.create)
    connection.execute("INSERT INTO passing SELECT id + 5000, v FROM item")
    connection.execute("DELETE FROM passing WHERE id % 2 = 0")
    connection.execute("VACUUM passing")
    assert sound(connection, [search]) == 1000
    connection.execute("CREATE TEMP TABLE shorter (id bigint, v vector(16)) ON COMMIT DELETE ROWS")
    connection.execute("CREATE INDEX ON shorter USING ivfflat (v vector_l2_ops) WITH (lists = 2)")
    for _ in range(2):
        connection.execute("BEGIN; INSERT INTO shorter SELECT * FROM item LIMIT 50; COMMIT")
        assert findings(connection, "shorter_v_idx") == []
        assert connection.execute("SELECT count(*) FROM shorter").fetchone() == (0,)


def test_a_table_is_vacuumed_in_parallel(connection):
    connection.execute("SET min_parallel_index_scan_size = 0; SET max_parallel_maintenance_workers = 2")
    others = []
    for n, opclass in enumerate(("vector_ip_ops", "vector_cosine_ops", "vector_l2_ops")):
        operator = {"vector_ip_ops": "<#>", "vector_cosine_ops": "<=>", "vector_l2_ops": "<->"}[opclass]
        order = f"v {operator} numbers(5, 1, 16)::vector"
        others.append(Search("item", f"item_{n}", "ivfflat", f"v {opclass}", order, "WITH (lists = 3)"))
        connection.execute(others[-1].create)
    connection.execute("DELETE FROM item WHERE id % 3 <> 0")
    notices = []
    connection.add_notice_handler(lambda notice: notices.append(notice.message_primary + (notice.message_detail or "")))
    connection.execute("VACUUM (PARALLEL 2, VERBOSE) item")
    assert any("parallel" in notice for notice in notices), notices
    # One of two indexes on the same expression hides the other: each is compared alone.
    assert sound(connection, others[:2]) == 2 * 333
    connection.execute("DROP INDEX item_2")
    assert sound(connection, [SEARCH]) == 333


def test_writers_vacuum_and_a_rebuild_at_once(connection, database):
    """Two sessions insert while a third vacuums and a fourth rebuilds the indexes concurrently."""
    stop = threading.Event()
    failures = []

    def repeat(*statements):
        try:
            with database() as session:
                n = 0
                while not stop.is_set() or n == 0:
                    for statement in statements:
                        try:
                            session.execute(statement.format(n=n))
                        except errors.DeadlockDetected:
                            pass
                    n += 1
        except BaseException as error:
            failures.append(error)

    def inserts(first):
        return (
            f"INSERT INTO item SELECT {first} + {{n}} * 10 + i, numbers(i, {{n}}, 16)::vector FROM generate_series(0, 9) i",
            f"INSERT INTO big SELECT {first} + {{n}}, numbers({first}, {{n}}, 3000)::vector",
            f"DELETE FROM item WHERE id BETWEEN {first} + {{n}} * 10 AND {first} + {{n}} * 10 + 4",
            f"DELETE FROM big WHERE id = {first} + {{n}} AND {{n}} % 2 = 0",
        )

    threads = [
        threading.Thread(target=repeat, args=inserts(1_000_000)),
        threading.Thread(target=repeat, args=inserts(2_000_000)),
        threading.Thread(target=repeat, args=("VACUUM item", "VACUUM big")),
    ]
    for thread in threads:
        thread.start()
    with database() as session:
        for _ in range(3):
            for search in (SEARCH, WIDE):
                for _ in range(20):
                    try:
                        session.execute(f"REINDEX INDEX CONCURRENTLY {search.name}")
                        break
                    except errors.DeadlockDetected:
                        # What a rebuild that failed leaves is PostgreSQL's to name and ours to drop.
                        session.execute(f"DROP INDEX IF EXISTS {search.name}_ccnew, {search.name}_ccold")
                else:
                    raise AssertionError("deadlocks only")
    stop.set()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    assert failures == []
    assert sound(connection, [SEARCH, WIDE]) > 1000
