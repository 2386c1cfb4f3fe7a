"""A server that dies in the middle of everything: nothing acknowledged is lost, nothing deleted comes
back, indexes are whole and go on."""

import os
import random
import signal

import psycopg
import pytest

import load
from answers import FUNCTIONS, Search, sound
from cluster import SEED, wait_for

# How a server dies: all its processes at once; told to end at once; or one backend is killed, and the
# others are ended by the server, which then recovers by itself.
DEATHS = ["kill", "immediate", "backend"]


def die(cluster, death):
    if death == "kill":
        cluster.kill()
        cluster.start()
    elif death == "immediate":
        cluster.stop("immediate")
        cluster.start()
    else:
        victim = cluster.query(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            " ORDER BY random() LIMIT 1"
        )
        sign = "all server processes terminated; reinitializing"
        before = cluster.log.count(sign)
        os.kill(victim[0][0], signal.SIGKILL)
        wait_for(lambda: cluster.log.count(sign) > before, "the crash to be seen")
        wait_for(lambda: answers(cluster), "the recovery")


def answers(cluster):
    try:
        return cluster.query("SELECT 1")
    except psycopg.OperationalError:
        return None


@pytest.mark.parametrize("consistency", ["", "generic"], ids=["plain", "wal_consistency_checking"])
def test_crash_under_load(make_cluster, consistency):
    cluster = make_cluster("crash", settings={"restart_after_crash": "on", "wal_consistency_checking": consistency})
    cluster.create().start()
    with cluster.connect() as connection:
        load.create(connection)
    previous = None
    for round, death in enumerate(DEATHS * 2):
        chance = random.Random(f"{consistency} {round} {SEED}")
        current = load.Load(cluster, f"{SEED} {round}").start(previous)
        commits = chance.randint(50, 300)
        wait_for(lambda: current.busy(commits), "transactions")
        die(cluster, death)
        current.end()
        with cluster.connect() as connection:
            current.check(connection)
            compared = sound(connection, load.SEARCHES)
            # Indexes go on: in them is room that a crash has left.
            connection.execute("VACUUM narrow")
            connection.execute("VACUUM wide")
            sound(connection, load.SEARCHES)
        print(f"{death}: {current.commits()} transactions, {compared} rows compared")
        previous = current
    assert "inconsistent page" not in cluster.log


def test_a_crash_during_a_build_leaves_a_table_that_can_be_indexed(make_cluster):
    cluster = make_cluster("building").create().start()
    search = Search("item", "item_l2", "ivfflat", "v vector_l2_ops", "v <-> numbers(5, 0, 64)::vector", "WITH (lists = 40)")
    concurrently = search.create.replace("CREATE INDEX", "CREATE INDEX CONCURRENTLY")
    with cluster.connect() as connection:
        connection.execute("CREATE EXTENSION pgnear;" + FUNCTIONS)
        connection.execute("CREATE TABLE item (id bigint, v vector(64))")
        connection.execute("INSERT INTO item SELECT i, numbers(i, i / 1009, 64)::vector FROM generate_series(1, 10000) i")
    for statement in (search.create, concurrently, "REINDEX INDEX item_l2", "REINDEX INDEX CONCURRENTLY item_l2"):
        with cluster.connect() as connection:
            if statement.startswith("REINDEX"):
                connection.execute(f"DROP INDEX IF EXISTS item_l2; {search.create}")
            else:
                connection.execute("DROP INDEX IF EXISTS item_l2")
        session = load.Repeat(cluster, [statement, "SELECT pg_sleep(600)"])
        session.start()
        phases = "SELECT phase FROM pg_stat_progress_create_index WHERE phase LIKE '%%building%%'"
        seen = wait_for(lambda: cluster.query(phases) or session.runs, "the build")
        cluster.kill()
        session.join(120)
        if session.failure:
            raise session.failure
        cluster.start()
        print(f"{statement}: killed in {seen}")
        with cluster.connect() as connection:
            invalid = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
            for (name,) in connection.execute(invalid).fetchall():
                connection.execute(f"DROP INDEX {name}")
            connection.execute(search.create.replace("CREATE INDEX", "CREATE INDEX IF NOT EXISTS"))
            assert sound(connection, [search]) == 10000


def test_unlogged_tables_are_empty_after_a_crash_and_usable(make_cluster):
    cluster = make_cluster("unlogged").create().start()
    narrow = Search("item", "item_l2", "ivfflat", "v vector_l2_ops", "v <-> '[1,0,0]'", "WITH (lists = 4)")
    wide = Search("big", "big_l2", "ivfflat", "v vector_l2_ops", "v <-> numbers(5, 0, 3000)::vector", "WITH (lists = 2)")
    fill = """
        INSERT INTO item SELECT i, numbers(i, 0, 3)::vector FROM generate_series(1, 1000) i;
        INSERT INTO big SELECT i, numbers(i, 0, 3000)::vector FROM generate_series(1, 10) i;
    """
    with cluster.connect() as connection:
        connection.execute("CREATE EXTENSION pgnear;" + FUNCTIONS)
        connection.execute("CREATE UNLOGGED TABLE item (id bigint, v vector(3))")
        connection.execute("CREATE UNLOGGED TABLE big (id bigint, v vector(3000))")
        connection.execute(fill)
        for search in (narrow, wide):
            connection.execute(search.create)
        connection.execute(fill)
        assert sound(connection, [narrow, wide]) == 2020
        connection.execute("CHECKPOINT")  # so that there are files for the crash to leave
    cluster.kill()
    cluster.start()
    with cluster.connect() as connection:
        assert sound(connection, [narrow, wide]) == 0
        connection.execute(fill)
        connection.execute("DELETE FROM item WHERE id % 2 = 0")
        connection.execute("VACUUM item")
        assert sound(connection, [narrow, wide]) == 510
    cluster.stop()
    cluster.start()
    with cluster.connect() as connection:
        assert sound(connection, [narrow, wide]) == 510


def test_an_index_made_without_wal_outlives_a_crash(make_cluster):
    """With wal_level = minimal, the files of an index on a new table are synced and not logged."""
    cluster = make_cluster("minimal", settings={"wal_level": "minimal", "max_wal_senders": 0, "wal_skip_threshold": 0})
    cluster.create().start()
    search = Search("item", "item_l2", "ivfflat", "v vector_l2_ops", "v <-> numbers(5, 0, 16)::vector", "WITH (lists = 4)")
    wide = Search("big", "big_l2", "ivfflat", "v vector_l2_ops", "v <-> numbers(5, 0, 3000)::vector", "WITH (lists = 2)")
    insert = "INSERT INTO item SELECT i, numbers(i, 0, 16)::vector FROM generate_series({}, {}) i"
    with cluster.connect() as connection:
        connection.execute("CREATE EXTENSION pgnear;" + FUNCTIONS)
        connection.execute("CHECKPOINT")
    with cluster.connect(autocommit=False) as connection:
        connection.execute("CREATE TABLE item (id bigint, v vector(16))")
        connection.execute("CREATE TABLE big (id bigint, v vector(3000))")
        connection.execute(insert.format(1, 8000))
        connection.execute("INSERT INTO big SELECT i, numbers(i, 0, 3000)::vector FROM generate_series(1, 10) i")
        before = connection.execute("SELECT pg_current_wal_insert_lsn()").fetchone()[0]
        for made in (search, wide):
            connection.execute(made.create)
        written = connection.execute("SELECT pg_current_wal_insert_lsn() - %s::pg_lsn", [before]).fetchone()[0]
        size = connection.execute("SELECT pg_relation_size('item_l2')").fetchone()[0]
        assert written < size / 2, f"{written} bytes of WAL for an index of {size}"
        # Rows of the same transaction after the build are not logged either.
        connection.execute(insert.format(8001, 9000))
        connection.execute("INSERT INTO big SELECT i, numbers(i, 0, 3000)::vector FROM generate_series(11, 15) i")
        connection.commit()
    with cluster.connect() as connection:
        # These are.
        connection.execute(insert.format(9001, 9100))
        connection.execute("DELETE FROM item WHERE id % 3 = 0")
        connection.execute("VACUUM item")
    cluster.kill()
    cluster.start()
    with cluster.connect() as connection:
        assert sound(connection, [search, wide]) == 9100 - 9100 // 3 + 15
        # A table whose creation is rolled back after a build leaves nothing in the way.
        with pytest.raises(ZeroDivisionError), connection.transaction():
            connection.execute("CREATE TABLE gone AS SELECT * FROM item")
            connection.execute("CREATE INDEX ON gone USING ivfflat (v vector_l2_ops) WITH (lists = 3)")
            raise ZeroDivisionError
        connection.execute(insert.format(9201, 9300))
        assert sound(connection, [search, wide]) == 9100 - 9100 // 3 + 15 + 100
