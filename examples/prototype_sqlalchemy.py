"""The first program that everybody writes, with SQLAlchemy 2 and the pgvector package.

    pip install sqlalchemy 'psycopg[binary]' pgvector numpy
    python examples/prototype_sqlalchemy.py 'postgresql+psycopg://…'
"""

import sys

import numpy as np
from pgvector.sqlalchemy import VECTOR
from sqlalchemy import BigInteger, Identity, Index, create_engine, select, text
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column

DIMENSIONS = 768
ROWS = 1000


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "item"
    id = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    category = mapped_column(BigInteger, nullable=False)
    embedding = mapped_column(VECTOR(DIMENSIONS), nullable=False)


INDEX = Index(
    "item_embedding",
    Item.embedding,
    postgresql_using="ivfflat",
    postgresql_with={"lists": 100},
    postgresql_ops={"embedding": "vector_ip_ops"},
)


def load(session):
    """A table of random vectors with an index on inner product."""
    random = np.random.default_rng(1)
    embeddings = random.random((ROWS, DIMENSIONS), dtype=np.float32)
    Item.__table__.create(session.connection())
    # The lists are found from the rows that are there: rows first, then the index.
    INDEX.drop(session.connection())
    session.add_all(Item(category=i % 5, embedding=embedding) for i, embedding in enumerate(embeddings))
    session.flush()
    INDEX.create(session.connection())
    session.execute(text("ANALYZE item"))
    return random.random(DIMENSIONS, dtype=np.float32)


def nearest(session, query, category=None):
    """The ids and scores of the 5 rows with the largest inner product, best first.

    At this size PostgreSQL may rightly read the whole table instead of the index: EXPLAIN says so.
    """
    session.execute(text("SET ivfflat.probes = 10"))
    distance = Item.embedding.max_inner_product(query)
    statement = select(Item.id, (-distance).label("score")).order_by(distance).limit(5)
    if category is not None:
        statement = statement.where(Item.category == category)
    return session.execute(statement).all()


def main(url):
    with Session(create_engine(url)) as session:
        session.execute(text("CREATE EXTENSION IF NOT EXISTS pgnear"))
        query = load(session)
        for category in (None, 3):
            print("category:", "any" if category is None else category)
            for id, score in nearest(session, query, category):
                print(f"{id:6} {score:10.4f}")
        session.commit()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "postgresql+psycopg://")
