"""The extension in a schema of its own, as many providers keep it: on the path, and off it."""

import asyncio

import asyncpg
import pytest
from pgvector import Vector
from pgvector.asyncpg import register_vector as register_asyncpg
from pgvector.psycopg import register_vector


@pytest.fixture(scope="module")
def apart(server, extension, empty_database):
    with server.connect(empty_database, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA extensions")
        connection.execute(f"CREATE EXTENSION {extension} SCHEMA extensions")
    return empty_database


def test_on_the_path(server, apart):
    with server.connect(apart, options="-c search_path=public,extensions") as connection:
        register_vector(connection)
        connection.execute("CREATE TABLE t (v vector(2))")
        connection.execute("CREATE INDEX ON t USING ivfflat (v vector_l2_ops)")
        connection.execute("INSERT INTO t VALUES (%s)", [Vector([1, 2])])
        assert connection.execute("SELECT v, v <-> %s FROM t", [Vector([1, 3])]).fetchone() == (Vector([1, 2]), 1.0)
        connection.rollback()


def test_off_the_path(server, apart):
    """Names are qualified; inside, the extension does not rely on the path."""
    with server.connect(apart) as connection:
        connection.execute("SET search_path = ''")
        connection.execute("CREATE TABLE public.t (v extensions.vector(2))")
        connection.execute("INSERT INTO public.t VALUES ('[1,2]'), ('[3,4]'), ('[5,7]')")
        connection.execute("CREATE INDEX ON public.t USING ivfflat (v extensions.vector_l2_ops) WITH (lists = 1)")
        connection.execute("CREATE INDEX ON public.t (v)")
        connection.execute("CREATE INDEX ON public.t USING hnsw (v extensions.vector_cosine_ops)")
        connection.execute("SET enable_seqscan = off")
        near = "SELECT v::text FROM public.t ORDER BY v OPERATOR(extensions.<->) '[3,3]' LIMIT 2"
        assert connection.execute(near).fetchall() == [("[3,4]",), ("[1,2]",)]
        near = "SELECT v::text FROM public.t ORDER BY v OPERATOR(extensions.<=>) '[3,4]' LIMIT 2"
        assert connection.execute(near).fetchall() == [("[3,4]",), ("[5,7]",)]
        assert connection.execute("SELECT extensions.avg(v)::text FROM public.t").fetchone() == ("[3,4.3333335]",)
        assert connection.execute("SELECT extensions.pgnear_index_check('public.t_v_idx')").fetchall() == []
        connection.execute("INSERT INTO public.t VALUES ('[1,1]')")
        connection.execute("REINDEX TABLE public.t")
        connection.execute("ANALYZE public.t")
        connection.rollback()


def test_asyncpg_names_the_schema(server, apart):
    async def ask():
        connection = await asyncpg.connect(
            host=server.host, port=int(server.port), user=server.user, database=apart
        )
        try:
            await register_asyncpg(connection, schema="extensions")
            return await connection.fetchval("SELECT $1::extensions.vector", Vector([1, 2]))
        finally:
            await connection.close()

    assert asyncio.run(ask()) == Vector([1, 2])


def test_the_extension_moves(server, apart):
    """It is relocatable: indexes, defaults and functions go on working."""
    with server.connect(apart) as connection:
        connection.execute("CREATE TABLE t (v extensions.vector(2) DEFAULT '[1,2]')")
        connection.execute("CREATE INDEX ON t USING ivfflat (v extensions.vector_l2_ops) WITH (lists = 1)")
        connection.execute("CREATE SCHEMA moved")
        name = connection.execute("SELECT extname FROM pg_extension WHERE extname <> 'plpgsql'").fetchone()[0]
        connection.execute(f"ALTER EXTENSION {name} SET SCHEMA moved")
        connection.execute("INSERT INTO t DEFAULT VALUES")
        connection.execute("SET enable_seqscan = off")
        near = "SELECT v::text FROM t ORDER BY v OPERATOR(moved.<->) '[3,3]' LIMIT 2"
        assert connection.execute(near).fetchall() == [("[1,2]",)]
        connection.rollback()
