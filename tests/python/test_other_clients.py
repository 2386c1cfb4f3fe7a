"""The older clients that the pgvector package serves: psycopg2, pg8000, peewee."""

import numpy as np
import peewee
import pg8000.native
import psycopg2
import pytest
from pgvector import Bit, HalfVector, SparseVector, Vector
from pgvector import pg8000 as for_pg8000
from pgvector import psycopg2 as for_psycopg2
from pgvector.peewee import FixedBitField, HalfVectorField, SparseVectorField, VectorField

VALUES = [Vector([1.5, -2, 0]), HalfVector([1.5, -2, 0]), SparseVector([1.5, -2, 0])]
TABLE = "CREATE TEMP TABLE t (id int, v vector(3), h halfvec(3), s sparsevec(3))"


def test_psycopg2(server, database):
    connection = psycopg2.connect(server.conninfo(database))
    try:
        for_psycopg2.register_vector(connection)
        cursor = connection.cursor()
        cursor.execute(TABLE)
        cursor.execute("INSERT INTO t VALUES (1, %s, %s, %s)", VALUES)
        cursor.execute("INSERT INTO t VALUES (2, %s)", [np.array([4, 5, 6])])
        cursor.execute("SELECT v, h, s, ARRAY[v] FROM t WHERE id = 1")
        assert cursor.fetchone() == (*VALUES, [VALUES[0]])
        cursor.execute("SELECT id FROM t ORDER BY v <-> %s LIMIT 1", [np.array([4, 5, 5])])
        assert cursor.fetchone() == (2,)
        with pytest.raises(psycopg2.DataError) as caught:
            cursor.execute("SELECT v <-> %s FROM t", [Vector([1])])
        assert caught.value.pgcode == "22000"
    finally:
        connection.close()


def test_pg8000(server, database):
    socket = f"{server.host}/.s.PGSQL.{server.port}"
    connection = pg8000.native.Connection(server.user, database=database, unix_sock=socket)
    try:
        for_pg8000.register_vector(connection)
        connection.run(TABLE)
        connection.run("INSERT INTO t VALUES (1, :v, :h, :s)", **dict(zip("vhs", VALUES)))
        connection.run("INSERT INTO t VALUES (2, :v)", v=np.array([4, 5, 6]))
        assert connection.run("SELECT v, h, s FROM t WHERE id = 1") == [VALUES]
        assert connection.run("SELECT id FROM t ORDER BY v <-> :v LIMIT 1", v=Vector([4, 5, 5])) == [[2]]
        with pytest.raises(pg8000.native.DatabaseError) as caught:
            connection.run("SELECT v <-> :v FROM t", v=Vector([1]))
        assert caught.value.args[0]["C"] == "22000"
    finally:
        connection.close()


def test_peewee(server, database):
    handle = peewee.PostgresqlDatabase(database, user=server.user, host=server.host, port=server.port)

    class Item(peewee.Model):
        embedding = VectorField(dimensions=3)
        half = HalfVectorField(dimensions=3)
        sparse = SparseVectorField(dimensions=3)
        bits = FixedBitField(max_length=3)

        class Meta:
            database = handle
            table_name = "peewee_item"

    Item.add_index("embedding vector_cosine_ops", using="ivfflat")
    Item.add_index("half halfvec_l1_ops", using="hnsw")
    with handle:
        Item.create_table()
        for row in ([1, 1, 1], [2, 2, 2], [1, 1, 2]):
            bits = "".join(str(x % 2) for x in row)
            Item.create(embedding=row, half=row, sparse=SparseVector(row), bits=bits)
        handle.execute_sql("SET enable_indexscan = off")
        for field in (Item.embedding, Item.half, Item.sparse):
            near = SparseVector([1, 1, 1]) if field is Item.sparse else [1, 1, 1]
            assert [item.id for item in Item.select().order_by(field.l2_distance(near))] == [1, 3, 2]
            assert [item.id for item in Item.select().order_by(field.max_inner_product(near))] == [2, 3, 1]
        assert [item.id for item in Item.select().order_by(Item.bits.hamming_distance("111"))] == [1, 3, 2]
        assert Item.get_by_id(3).embedding == [1, 1, 2]
        assert Item.select(peewee.fn.avg(Item.embedding).coerce(True)).scalar() == pytest.approx([4 / 3, 4 / 3, 5 / 3])
        assert Bit(Item.get_by_id(3).bits) == Bit("110")
