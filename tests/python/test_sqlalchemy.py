"""SQLAlchemy 2 with pgvector.sqlalchemy, over psycopg 3 and over asyncpg."""

import asyncio

import pytest
from pgvector import SparseVector, Vector
from pgvector.psycopg import register_vector
from pgvector.sqlalchemy import BIT, HALFVEC, SPARSEVEC, VECTOR, avg, sum
from sqlalchemy import ARRAY, BigInteger, Column, Index, MetaData, Table, cast, create_engine, event, func, insert, inspect, select, text
from sqlalchemy.exc import DataError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "item"
    id = mapped_column(BigInteger, primary_key=True)
    embedding = mapped_column(VECTOR(3))
    half = mapped_column(HALFVEC(3))
    sparse = mapped_column(SPARSEVEC(3))
    bits = mapped_column(BIT(3))
    __table_args__ = tuple(
        Index(
            f"item_{column}_{metric}",
            column,
            postgresql_using="ivfflat",
            postgresql_with={"lists": 100},
            postgresql_ops={column: f"{type_name}_{metric}_ops"},
        )
        for column, type_name, metrics in [
            ("embedding", "vector", ["l2", "ip", "cosine"]),
            ("half", "halfvec", ["l2", "ip", "cosine"]),
            ("bits", "bit", ["hamming"]),
        ]
        for metric in metrics
    )


class Graph(Base):
    """The same columns, with an hnsw index for every operator class."""

    __tablename__ = "graph"
    id = mapped_column(BigInteger, primary_key=True)
    embedding = mapped_column(VECTOR(3))
    half = mapped_column(HALFVEC(3))
    sparse = mapped_column(SPARSEVEC(3))
    bits = mapped_column(BIT(3))
    __table_args__ = tuple(
        Index(
            f"graph_{column}_{metric}",
            column,
            postgresql_using="hnsw",
            postgresql_with={"m": 8, "ef_construction": 32},
            postgresql_ops={column: f"{type_name}_{metric}_ops"},
        )
        for column, type_name, metrics in [
            ("embedding", "vector", ["l2", "ip", "cosine", "l1"]),
            ("half", "halfvec", ["l2", "ip", "cosine", "l1"]),
            ("sparse", "sparsevec", ["l2", "ip", "cosine", "l1"]),
            ("bits", "bit", ["hamming", "jaccard"]),
        ]
        for metric in metrics
    )


ROWS = {1: [1, 1, 1], 2: [2, 2, 2], 3: [1, 1, 2]}


def registered(engine):
    @event.listens_for(engine, "connect")
    def connect(connection, record):
        register_vector(connection)

    return engine


@pytest.fixture(scope="module", params=["client's types", "registered types"])
def engine(server, database, request):
    """The package works with and without its types registered at the driver."""
    engine = create_engine(server.url(database))
    if request.param == "registered types":
        registered(engine)
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        for id, row in ROWS.items():
            for model in (Item, Graph):
                bits = "".join(str(x % 2) for x in row)
                session.add(model(id=id, embedding=row, half=row, sparse=row, bits=bits))
        session.commit()
    yield engine
    engine.dispose()


@pytest.fixture(params=["exact", "index"])
def session(engine, request):
    with Session(engine) as session:
        other = {"exact": "enable_indexscan", "index": "enable_seqscan"}[request.param]
        session.execute(text(f"SET LOCAL {other} = off"))
        session.execute(text("SET LOCAL ivfflat.probes = 100"))
        yield session
        session.rollback()


ORDERS = {
    "l2_distance": ([1, 3, 2], [0, 1, 3**0.5]),
    "max_inner_product": ([2, 3, 1], [-6, -4, -3]),
    "cosine_distance": ([1, 2, 3], [0, 0, 1 - 4 / 18**0.5]),
    "l1_distance": ([1, 3, 2], [0, 1, 3]),
}


@pytest.mark.parametrize("column", ["embedding", "half", "sparse"])
@pytest.mark.parametrize("method", ORDERS)
def test_order_by_distance(session, column, method):
    distance = getattr(getattr(Item, column), method)([1, 1, 1])
    rows = session.execute(select(Item.id, distance).order_by(distance, Item.id)).all()
    ids, distances = ORDERS[method]
    assert [row[0] for row in rows] == ids
    assert [row[1] for row in rows] == pytest.approx(distances, abs=1e-6)


def test_the_index_answers(engine):
    with Session(engine) as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))
        plan = session.execute(
            text("EXPLAIN SELECT id FROM item ORDER BY embedding <-> '[1,1,1]' LIMIT 1")
        ).scalars()
        assert "Index Scan using item_embedding_l2" in "\n".join(plan)


METRICS = {"l2_distance": "l2", "max_inner_product": "ip", "cosine_distance": "cosine", "l1_distance": "l1"}


@pytest.mark.parametrize("column", ["embedding", "half", "sparse"])
@pytest.mark.parametrize("method", ORDERS)
def test_hnsw_answers(engine, column, method):
    """Rows came after the indexes, which were made with the table, as a migration does."""
    with Session(engine) as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))
        distance = getattr(getattr(Graph, column), method)([1, 1, 1])
        query = select(Graph.id, distance).order_by(distance).limit(3)
        literal = query.compile(engine, compile_kwargs={"literal_binds": True})
        plan = session.execute(text(f"EXPLAIN {literal}")).scalars()
        assert f"Index Scan using graph_{column}_{METRICS[method]} " in "\n".join(plan)
        rows = session.execute(query).all()
        ids, distances = ORDERS[method]
        assert [row[1] for row in rows] == pytest.approx(distances, abs=1e-6)
        # By cosine, rows 1 and 2 are as near.
        assert [row[0] for row in rows] == ids or (method == "cosine_distance" and [row[0] for row in rows][2] == 3)


@pytest.mark.parametrize(
    ("method", "bits", "answer"),
    [
        ("hamming_distance", "111", [(1, 0.0), (3, 1.0), (2, 3.0)]),
        ("jaccard_distance", "110", [(3, 0.0), (1, pytest.approx(1 / 3)), (2, 1.0)]),
    ],
)
def test_hnsw_answers_for_bits(engine, method, bits, answer):
    with Session(engine) as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))
        session.execute(text("SET LOCAL enable_sort = off"))
        distance = getattr(Graph.bits, method)(bits)
        assert session.execute(select(Graph.id, distance).order_by(distance)).all() == answer


def test_bits(session):
    distance = Item.bits.hamming_distance("111")
    rows = session.execute(select(Item.id, distance).order_by(distance)).all()
    assert rows == [(1, 0.0), (3, 1.0), (2, 3.0)]
    jaccard = Item.bits.jaccard_distance("110")
    assert session.execute(select(jaccard).where(Item.id == 3)).scalar() == 0.0


def test_condition_beside_the_order(session):
    query = select(Item.id).where(Item.id != 1).order_by(Item.embedding.l2_distance([1, 1, 1])).limit(1)
    assert session.scalars(query).all() == [3]
    near = select(Item.id).where(Item.embedding.l2_distance([1, 1, 1]) < 1.5).order_by(Item.id)
    assert session.scalars(near).all() == [1, 3]


def test_values_come_back(session):
    item = session.get(Item, 3)
    assert item.embedding == [1, 1, 2]
    assert item.half == [1, 1, 2]
    assert item.sparse == SparseVector([1, 1, 2])
    assert item.bits == "110"


def test_arrays(server, database):
    """They need the types registered at the driver."""
    table = Table("array_of_vectors", MetaData(), Column("parts", ARRAY(VECTOR(2))))
    engine = registered(create_engine(server.url(database)))
    with engine.connect() as connection:
        table.create(connection)
        connection.execute(insert(table).values(parts=[Vector([1, 2]), Vector([3, 4])]))
        assert connection.scalar(select(table)) == [[1, 2], [3, 4]]
    engine.dispose()


def test_update_and_null(engine):
    with Session(engine) as session:
        session.get(Item, 1).embedding = None
        session.flush()
        session.expire_all()
        assert session.get(Item, 1).embedding is None
        session.execute(text("SET LOCAL enable_indexscan = off"))
        nearest = select(Item.id).order_by(Item.embedding.l2_distance([1, 1, 1]))
        assert session.scalars(nearest).all() == [3, 2, 1]


def test_aggregates(session):
    assert session.scalar(select(avg(Item.embedding))) == pytest.approx([4 / 3, 4 / 3, 5 / 3])
    assert session.scalar(select(sum(Item.embedding))) == [4, 4, 5]
    assert session.scalar(select(sum(Item.half))) == [4, 4, 5]


def test_binary_quantize(session):
    distance = cast(func.binary_quantize(Item.embedding), BIT(3)).hamming_distance(
        func.binary_quantize(cast([3, -1, 1], VECTOR(3)))
    )
    assert set(session.scalars(select(distance))) == {1.0}


def test_reflection(engine):
    columns = {column["name"]: column["type"] for column in inspect(engine).get_columns("item")}
    assert (type(columns["embedding"]), columns["embedding"].dim) == (VECTOR, 3)
    assert (type(columns["half"]), columns["half"].dim) == (HALFVEC, 3)
    assert (type(columns["sparse"]), columns["sparse"].dim) == (SPARSEVEC, 3)
    indexes = {index["name"]: index for index in inspect(engine).get_indexes("item")}
    options = indexes["item_half_ip"]["dialect_options"]
    assert options["postgresql_using"] == "ivfflat"
    assert options["postgresql_with"] == {"lists": "100"}
    graph = {index["name"]: index for index in inspect(engine).get_indexes("graph")}["graph_sparse_cosine"]
    assert graph["dialect_options"]["postgresql_using"] == "hnsw"
    assert graph["dialect_options"]["postgresql_with"] == {"m": "8", "ef_construction": "32"}


def test_wrong_dimension(engine):
    with Session(engine) as session:
        session.add(Item(id=9, embedding=[1, 2]))
        with pytest.raises(DataError) as caught:
            session.flush()
        assert caught.value.orig.sqlstate == "22000"
        assert "expected 3 dimensions, not 2" in str(caught.value)


def test_asyncpg_engine(server, database, engine):
    async def nearest():
        url = server.url(database).replace("+psycopg", "+asyncpg")
        # A setting in the start of the session comes before the library that defines it.
        settings = {"server_settings": {"ivfflat.probes": "100"}}
        other = create_async_engine(url, connect_args=settings)
        try:
            async with other.connect() as connection:
                query = select(Item.id, Item.embedding).order_by(Item.embedding.l2_distance([1, 1, 1])).limit(2)
                return (await connection.execute(query)).all()
        finally:
            await other.dispose()

    assert asyncio.run(nearest()) == [(1, [1, 1, 1]), (3, [1, 1, 2])]
