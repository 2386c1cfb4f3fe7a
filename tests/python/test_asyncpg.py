"""asyncpg with pgvector.asyncpg: the wire form both ways, and its arrays."""

import asyncio

import asyncpg
import pytest
from pgvector import HalfVector, SparseVector, Vector
from pgvector.asyncpg import register_vector


@pytest.fixture
def ask(server, database):
    """Runs one coroutine function over a connection in a transaction that is rolled back."""

    def run(work):
        async def session():
            connection = await asyncpg.connect(
                host=server.host, port=int(server.port), user=server.user, database=database
            )
            try:
                await register_vector(connection)
                transaction = connection.transaction()
                await transaction.start()
                try:
                    return await work(connection)
                finally:
                    await transaction.rollback()
            finally:
                await connection.close()

        return asyncio.run(session())

    return run


def test_round_trip(ask):
    values = [Vector([1, -2.5, 0]), HalfVector([1, -2.5, 0]), SparseVector({0: 1, 2: -2.5}, 3), None]

    async def work(connection):
        await connection.execute("CREATE TABLE t (v vector(3), h halfvec(3), s sparsevec(3), n vector)")
        await connection.execute("INSERT INTO t VALUES ($1, $2, $3, $4)", *values)
        return list(await connection.fetchrow("SELECT * FROM t"))

    assert ask(work) == values


def test_array(ask):
    vectors = [Vector([1, 2]), Vector([3, 4])]

    async def work(connection):
        return await connection.fetchval("SELECT $1::vector[]", vectors)

    assert ask(work) == vectors


def test_copy_records(ask):
    async def work(connection):
        await connection.execute("CREATE TABLE t (id int, v vector(2), h halfvec(2), s sparsevec(2))")
        rows = [(i, Vector([i, 1]), HalfVector([i, 1]), SparseVector([i, 1])) for i in range(1000)]
        await connection.copy_records_to_table("t", records=rows)
        return rows, [tuple(row) for row in await connection.fetch("SELECT * FROM t ORDER BY id")]

    sent, received = ask(work)
    assert received == sent


@pytest.mark.parametrize(
    ("index", "setting"),
    [("ivfflat (v vector_l2_ops) WITH (lists = 5)", "ivfflat.probes = 5"), ("hnsw (v vector_l2_ops)", "hnsw.ef_search = 500")],
    ids=["ivfflat", "hnsw"],
)
def test_search_through_an_index(ask, index, setting):
    async def work(connection):
        await connection.execute("CREATE TABLE t (id int, v vector(2))")
        await connection.executemany("INSERT INTO t VALUES ($1, $2)", [(i, Vector([i, 1])) for i in range(500)])
        await connection.execute(f"CREATE INDEX ON t USING {index}")
        await connection.execute(f"SET LOCAL enable_seqscan = off; SET LOCAL {setting}")
        statement = await connection.prepare("SELECT id FROM t ORDER BY v <-> $1 LIMIT 3")
        return [[row["id"] for row in await statement.fetch(Vector([at, 1]))] for at in (10.1, 99.9)]

    assert ask(work) == [[10, 11, 9], [100, 99, 101]]


def test_error(ask):
    async def work(connection):
        await connection.fetchval("SELECT $1::vector <-> $2::vector", Vector([1]), Vector([1, 2]))

    with pytest.raises(asyncpg.DataError, match="different vector dimensions 1 and 2") as caught:
        ask(work)
    assert caught.value.sqlstate == "22000"
