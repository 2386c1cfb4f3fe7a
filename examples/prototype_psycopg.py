"""The first program that everybody writes, with psycopg 3 and the pgvector package.

    pip install 'psycopg[binary]' pgvector numpy
    python examples/prototype_psycopg.py 'dbname=… host=…'
"""

import sys

import numpy as np
import psycopg
from pgvector.psycopg import register_vector

DIMENSIONS = 768
ROWS = 1000


def load(connection):
    """A table of random vectors with an index on inner product."""
    connection.execute(
        f"""
        CREATE TABLE item (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            category int NOT NULL,
            embedding vector({DIMENSIONS}) NOT NULL
        )
        """
    )
    random = np.random.default_rng(1)
    embeddings = random.random((ROWS, DIMENSIONS), dtype=np.float32)
    with connection.cursor().copy("COPY item (category, embedding) FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(["int4", "vector"])
        for number, embedding in enumerate(embeddings):
            copy.write_row([number % 5, embedding])
    connection.execute("CREATE INDEX item_embedding ON item USING ivfflat (embedding vector_ip_ops) WITH (lists = 100)")
    connection.execute("ANALYZE item")
    return random.random(DIMENSIONS, dtype=np.float32)


def nearest(connection, query, category=None):
    """The ids and scores of the 5 rows with the largest inner product, best first.

    At this size PostgreSQL may rightly read the whole table instead of the index: EXPLAIN says so.
    """
    connection.execute("SET ivfflat.probes = 10")
    condition = "WHERE category = %(category)s" if category is not None else ""
    # <#> is the negative inner product: indexes are read in ascending order only.
    return connection.execute(
        f"""
        SELECT id, -(embedding <#> %(query)s) AS score
        FROM item {condition}
        ORDER BY embedding <#> %(query)s
        LIMIT 5
        """,
        {"query": query, "category": category},
    ).fetchall()


def main(conninfo):
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pgnear")
        register_vector(connection)
        query = load(connection)
        for category in (None, 3):
            print("category:", "any" if category is None else category)
            for id, score in nearest(connection, query, category):
                print(f"{id:6} {score:10.4f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
