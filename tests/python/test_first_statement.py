"""A session's first statement loads the library in the middle of its planning: its plan is none the worse."""

import psycopg
import pytest


@pytest.fixture(scope="module")
def tables(server, database):
    with server.connect(database, autocommit=True) as connection:
        connection.execute(
            """CREATE TABLE rows (id int, v vector(3));
               INSERT INTO rows SELECT i, ARRAY[sin(i), cos(i), i] FROM generate_series(1, 2000) i;
               CREATE TABLE few AS SELECT * FROM rows WHERE id <= 20;
               CREATE INDEX ON few USING hnsw (v vector_l2_ops);
               ANALYZE rows, few"""
        )
    return database


JOIN = """SELECT few.id, near.id FROM few CROSS JOIN LATERAL
          (SELECT rows.id FROM rows ORDER BY rows.v <-> few.v LIMIT 2) AS near"""


@pytest.mark.parametrize("options", ["", "-c session_preload_libraries=pgnear"])
def test_a_join(server, tables, options):
    with server.connect(tables, autocommit=True) as connection:
        dsn = connection.info.dsn
        expected = connection.execute(JOIN).fetchall()
    with psycopg.connect(dsn, autocommit=True, options=options) as connection:
        plan = connection.execute("EXPLAIN (ANALYZE, COSTS OFF) " + JOIN).fetchall()
        assert "KnnJoin" in plan[0][0], plan
        assert connection.execute(JOIN).fetchall() == expected
    with psycopg.connect(dsn, autocommit=True, options=options) as connection:
        assert connection.execute(JOIN).fetchall() == expected


def test_a_function_of_sql_and_a_kept_plan(server, tables):
    with server.connect(tables, autocommit=True) as connection:
        dsn = connection.info.dsn
        expected = connection.execute(JOIN).fetchall()
        connection.execute(
            "CREATE FUNCTION joined() RETURNS TABLE (a int, b int) LANGUAGE sql VOLATILE AS $$ " + JOIN + " $$"
        )
    with psycopg.connect(dsn, autocommit=True) as connection:
        # Rows are taken from it one by one.
        assert connection.execute("SELECT (joined()).*, 1 LIMIT 7").fetchall() == [(*row, 1) for row in expected[:7]]
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET plan_cache_mode = force_generic_plan; PREPARE kept AS " + JOIN)
        for _ in range(3):
            assert connection.execute("EXECUTE kept").fetchall() == expected
