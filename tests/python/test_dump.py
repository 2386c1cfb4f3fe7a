"""pg_dump and pg_restore, of the server's own version, over every type and kind of index."""

import pytest

SCHEMA = """
    CREATE TABLE item (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        kind int NOT NULL,
        embedding vector(3) DEFAULT '[1,2,3]' CHECK (vector_norm(embedding) > 0),
        half halfvec(3),
        sparse sparsevec(5),
        bits bit(8),
        parts vector(2)[],
        free vector,
        signs bit(3) GENERATED ALWAYS AS (binary_quantize(embedding)) STORED
    );
    INSERT INTO item (kind, embedding, half, sparse, bits, parts, free)
    SELECT i % 7, ARRAY[i, sin(i), 1 / i::float8]::vector, ARRAY[cos(i), i / 10.0, 0.1]::halfvec,
           format('{%s:%s}/5', i % 5 + 1, i)::sparsevec, (i % 256)::bit(8),
           ARRAY[ARRAY[i, 1]::vector, NULL], array_fill(sqrt(i), ARRAY[i % 9 + 1])::vector
    FROM generate_series(1, 1000) AS i;
    INSERT INTO item (kind, embedding) VALUES (0, DEFAULT), (0, NULL);

    CREATE INDEX item_l2 ON item USING ivfflat (embedding vector_l2_ops) WITH (lists = 7);
    CREATE INDEX item_ip ON item USING ivfflat (embedding vector_ip_ops) WITH (lists = 3);
    CREATE INDEX item_cosine ON item USING ivfflat (embedding vector_cosine_ops);
    CREATE INDEX item_half ON item USING ivfflat (half halfvec_cosine_ops) WITH (lists = 5);
    CREATE INDEX item_bits ON item USING ivfflat (bits bit_hamming_ops) WITH (lists = 4);
    CREATE INDEX item_expression ON item USING ivfflat ((embedding::halfvec(3)) halfvec_l2_ops) WITH (lists = 5);
    CREATE INDEX item_partial ON item USING ivfflat (embedding vector_l2_ops) WITH (lists = 2) WHERE kind = 3;
    CREATE INDEX item_graph_l1 ON item USING hnsw (embedding vector_l1_ops) WITH (m = 8, ef_construction = 40);
    CREATE INDEX item_graph_half ON item USING hnsw (half halfvec_ip_ops) WITH (rerank = 'index');
    CREATE INDEX item_graph_sparse ON item USING hnsw (sparse sparsevec_l2_ops);
    CREATE INDEX item_graph_bits ON item USING hnsw (bits bit_jaccard_ops);
    CREATE INDEX item_graph_expression ON item USING hnsw ((embedding::halfvec(3)) halfvec_l1_ops) WHERE kind < 5;
    CREATE UNIQUE INDEX item_free ON item (free, id);
    CREATE INDEX item_hash ON item USING hash (embedding);

    CREATE VIEW near AS SELECT id, embedding <-> '[500,0,0]' AS distance FROM item;
    CREATE MATERIALIZED VIEW mean AS SELECT kind, avg(embedding) AS centre, sum(half) AS total FROM item GROUP BY kind;
    CREATE FUNCTION nearest(vector) RETURNS bigint LANGUAGE sql STABLE
        AS 'SELECT id FROM item ORDER BY embedding <-> $1 LIMIT 1';
    CREATE TABLE part (v vector(2)) PARTITION BY HASH (v);
    CREATE TABLE part_0 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE part_1 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    INSERT INTO part SELECT ARRAY[i, -i]::vector FROM generate_series(1, 100) AS i;
"""

# What must be equal afterwards, each as text.
QUESTIONS = [
    "SELECT * FROM item ORDER BY id",
    "SELECT * FROM mean ORDER BY kind",
    "SELECT tableoid::regclass, v FROM part ORDER BY v",
    "SELECT id FROM near ORDER BY distance, id LIMIT 20",
    "SELECT nearest('[77,1,0]')",
    "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
    "SELECT attrelid::regclass, attname, format_type(atttypid, atttypmod) FROM pg_attribute"
    " WHERE attrelid IN ('item'::regclass, 'part'::regclass) AND attnum > 0 ORDER BY 1, attnum",
    "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'item'::regclass ORDER BY conname",
]
# Through an index with every list probed, or as wide a search as there are rows, so the answer is the
# exact one.
SEARCHES = {
    "item_l2": "SELECT id FROM item ORDER BY embedding <-> '[123.4,0,0]' LIMIT 9",
    "item_ip": "SELECT id FROM item ORDER BY embedding <#> '[1,2,3]' LIMIT 9",
    "item_half": "SELECT id FROM item ORDER BY half <=> '[1,5,0]' LIMIT 9",
    "item_expression": "SELECT id FROM item ORDER BY embedding::halfvec(3) <-> '[123.4,0,0]' LIMIT 9",
    "item_partial": "SELECT id FROM item WHERE kind = 3 ORDER BY embedding <-> '[321,0,0]' LIMIT 9",
    "item_graph_l1": "SELECT id FROM item ORDER BY embedding <+> '[123.4,0,0]' LIMIT 9",
    "item_graph_half": "SELECT id FROM item ORDER BY half <#> '[0,1,0]' LIMIT 9",
    "item_graph_sparse": "SELECT id FROM item ORDER BY sparse <-> '{1:500.5}/5' LIMIT 9",
    "item_graph_expression": "SELECT id FROM item WHERE kind < 5 ORDER BY embedding::halfvec(3) <+> '[123.4,0,0]' LIMIT 9",
}
OURS = [
    "item_l2",
    "item_ip",
    "item_cosine",
    "item_half",
    "item_bits",
    "item_expression",
    "item_partial",
    "item_graph_l1",
    "item_graph_half",
    "item_graph_sparse",
    "item_graph_bits",
    "item_graph_expression",
]


@pytest.fixture(scope="module")
def source(server, database):
    with server.connect(database, autocommit=True) as connection:
        connection.execute(SCHEMA)
    return database


@pytest.fixture
def restored(server, extension):
    database = f"test_dump_restored_{extension}"
    server.create(database)
    yield database
    server.drop(database)


def answers(server, database):
    with server.connect(database) as connection:
        found = {question: connection.execute(question).fetchall() for question in QUESTIONS}
        connection.execute("SET enable_seqscan = off")
        connection.execute("SET enable_sort = off")
        connection.execute("SET ivfflat.probes = 100")
        connection.execute("SET hnsw.ef_search = 1000")
        for index, search in SEARCHES.items():
            plan = connection.execute(f"EXPLAIN {search}").fetchall()
            # item_partial's rows are also in item_l2: the planner may take either.
            assert any("Index Scan using item_" in line for (line,) in plan), (index, plan)
            found[search] = connection.execute(search).fetchall()
            assert len(found[search]) == 9
        for index in OURS:
            # (By inner product some rows of small norm are nobody's neighbour, which is no fault.)
            check = "SELECT * FROM pgnear_index_check(%s) WHERE NOT harmless"
            assert connection.execute(check, [index]).fetchall() == []
    return found


def test_plain(server, source, restored, tmp_path):
    script = tmp_path / "dump.sql"
    server.run("pg_dump", "-f", script, database=source)
    server.run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", script, database=restored)
    assert answers(server, restored) == answers(server, source)


@pytest.mark.parametrize("options", [["-Fc"], ["-Fc", "--inserts"]], ids=["copy", "inserts"])
def test_custom(server, source, restored, tmp_path, options):
    archive = tmp_path / "archive"
    server.run("pg_dump", *options, "-f", archive, database=source)
    server.run("pg_restore", "--exit-on-error", "-j2", "-d", restored, archive, database=restored)
    assert answers(server, restored) == answers(server, source)


def test_under_the_other_name(server, extension, source, restored, tmp_path):
    """A dump names types, never the extension's: it restores where the other name was made first."""
    archive, chosen = tmp_path / "archive", tmp_path / "list"
    server.run("pg_dump", "-Fc", "-f", archive, database=source)
    contents = server.run("pg_restore", "-l", archive, database=source)
    kept = [line for line in contents.splitlines() if " EXTENSION " not in line]
    assert len(kept) < len(contents.splitlines())
    chosen.write_text("\n".join(kept))
    other = "vector" if extension == "pgnear" else "pgnear"
    with server.connect(restored, autocommit=True) as connection:
        connection.execute(f"CREATE EXTENSION {other}")
    server.run("pg_restore", "--exit-on-error", "-L", chosen, "-d", restored, archive, database=restored)
    assert answers(server, restored) == answers(server, source)


def test_data_is_copied_between_databases_in_binary(server, source, restored, tmp_path):
    path = tmp_path / "copy"
    columns = "embedding, half, sparse, bits, parts, free"
    server.run("psql", "-X", "-c", rf"\copy item ({columns}) TO '{path}' (FORMAT binary)", database=source)
    script = tmp_path / "schema.sql"
    server.run("pg_dump", "-s", "-f", script, database=source)
    server.run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", script, database=restored)
    server.run("psql", "-X", "-c", "ALTER TABLE item ALTER kind SET DEFAULT 0", database=restored)
    server.run("psql", "-X", "-c", rf"\copy item ({columns}) FROM '{path}' (FORMAT binary)", database=restored)
    query = f"SELECT {columns} FROM item ORDER BY free, embedding"
    with server.connect(source) as a, server.connect(restored) as b:
        assert a.execute(query).fetchall() == b.execute(query).fetchall()
