"""psycopg 3 with the published pgvector package."""

import numpy as np
import psycopg
import pytest
from pgvector import Bit, HalfVector, SparseVector, Vector
from pgvector.psycopg import register_vector

# Values that a client may send: signs, extremes of the element types, more than one page.
VECTORS = [
    [1, 2, 3],
    [0, -0.0, -1.5],
    [3.4028234663852886e38, -3.4028234663852886e38],
    [1.401298464324817e-45, 1.1754943508222875e-38],
    [0.1] * 2000,
    list(range(16000)),
]
HALFVECS = [[1, 2, 3], [65504, -65504, 6.103515625e-05], [5.960464477539063e-08], [0.5] * 16000]
SPARSEVECS = [
    ({0: 1, 2: 3}, 4),
    ({}, 3),
    ({999999999: -1.5}, 1000000000),
    ({i: i + 1 for i in range(16000)}, 20000),
]
BITS = ["1", "101", "0" * 9 + "1", "10" * 32000]


@pytest.fixture
def connection(server, database):
    with server.connect(database) as connection:
        register_vector(connection)
        connection.execute("SET search_path = pg_temp, public")
        yield connection
        connection.rollback()


def same(sent, received):
    assert type(received) is type(sent)
    assert received.to_binary() == sent.to_binary()


@pytest.mark.parametrize("sent_binary", [False, True])
@pytest.mark.parametrize("received_binary", [False, True])
class TestRoundTrip:
    @pytest.fixture
    def echo(self, connection, sent_binary, received_binary):
        mark = "%b" if sent_binary else "%t"

        def ask(value, type_name):
            query = f"SELECT {mark}::{type_name}"
            return connection.execute(query, [value], binary=received_binary).fetchone()[0]

        return ask

    @pytest.mark.parametrize("value", VECTORS, ids=lambda v: f"{len(v)}d")
    def test_vector(self, echo, value):
        same(Vector(value), echo(Vector(value), "vector"))
        same(Vector(value), echo(np.array(value, dtype=np.float32), f"vector({len(value)})"))

    @pytest.mark.parametrize("value", HALFVECS, ids=lambda v: f"{len(v)}d")
    def test_halfvec(self, echo, value):
        same(HalfVector(value), echo(HalfVector(value), "halfvec"))

    @pytest.mark.parametrize("value", SPARSEVECS, ids=lambda v: f"{len(v[0])}_of_{v[1]}")
    def test_sparsevec(self, echo, value):
        same(SparseVector(*value), echo(SparseVector(*value), "sparsevec"))

    @pytest.mark.parametrize("value", BITS, ids=lambda v: f"{len(v)}b")
    def test_bit(self, echo, value, received_binary):
        received = echo(Bit(value), "varbit")
        # The package loads no bits: text comes as str, the wire form as bytes.
        assert (Bit.from_binary(received) if received_binary else Bit(received)) == Bit(value)

    def test_array(self, echo):
        vectors = [Vector([1, 2]), Vector([-3, 4.5])]
        assert echo(vectors, "vector[]") == vectors
        halfvecs = [HalfVector([1, 2]), HalfVector([-3, 4.5])]
        assert echo(halfvecs, "halfvec[]") == halfvecs
        sparsevecs = [SparseVector({0: 1}, 2), SparseVector({}, 2)]
        assert echo(sparsevecs, "sparsevec[]") == sparsevecs

    def test_null(self, echo):
        assert echo(None, "vector") is None
        assert echo([Vector([1]), None], "vector[]") == [Vector([1]), None]


def test_copy_binary(connection):
    connection.execute("CREATE TABLE t (id int, v vector(3), h halfvec(3), s sparsevec(3), b bit(3), a vector[])")
    rows = [
        (i, Vector([i, 0.5, -i]), HalfVector([i, 0.5, -i]), SparseVector({1: i + 1}, 3), Bit("011"), [Vector([i])])
        for i in range(1000)
    ]
    types = ["int4", "vector", "halfvec", "sparsevec", "bit", "vector[]"]
    with connection.cursor().copy("COPY t FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)
    with connection.cursor().copy("COPY (SELECT id, v, h, s, a FROM t ORDER BY id) TO STDOUT (FORMAT binary)") as copy:
        copy.set_types(types[:4] + types[5:])
        read = list(copy.rows())
    assert read == [row[:4] + row[5:] for row in rows]
    assert connection.execute("SELECT count(*) FROM t WHERE b = B'011'").fetchone() == (1000,)


HOSTILE = {
    "too short": ("0003 0000 3f800000", "08P01"),
    "cut off": ("0001", "08P01"),
    "longer than it says": ("0001 0000 3f800000 3f800000", "22P03"),
    "unused": ("0001 0001 3f800000", "22000"),
    "NaN": ("0001 0000 7fc00000", "22000"),
    "infinite": ("0001 0000 ff800000", "22000"),
    "no dimension": ("0000 0000", "22000"),
    "too many dimensions": ("3e81 0000", "54000"),
    "negative dimensions": ("ffff 0000", "54000"),
}


@pytest.mark.parametrize(("message", "sqlstate"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_binary_is_refused(connection, message, sqlstate):
    class Raw:
        pass

    class RawDumper(psycopg.adapt.Dumper):
        oid = psycopg.types.TypeInfo.fetch(connection, "vector").oid
        format = psycopg.pq.Format.BINARY

        def dump(self, obj):
            return bytes.fromhex(message)

    connection.adapters.register_dumper(Raw, RawDumper)
    with pytest.raises(psycopg.Error) as caught, connection.transaction():
        connection.execute("SELECT %b::vector", [Raw()])
    assert caught.value.sqlstate == sqlstate
    assert connection.execute("SELECT 1").fetchone() == (1,)


# Of [1,2] and [4,-2]: numbers that are exact in every type.
DISTANCES = {"<->": 5.0, "<#>": 0.0, "<=>": 1.0, "<+>": 7.0}


@pytest.mark.parametrize("make", [Vector, HalfVector, SparseVector])
@pytest.mark.parametrize(("operator", "distance"), DISTANCES.items())
def test_distance(connection, make, operator, distance):
    query = f"SELECT %s {operator} %s"
    assert connection.execute(query, [make([1, 2]), make([4, -2])]).fetchone() == (distance,)


def test_inner_product_is_negative(connection):
    """So that ORDER BY … ascending has the largest product first."""
    assert connection.execute("SELECT %s <#> %s", [Vector([1, 2]), Vector([5, 5])]).fetchone() == (-15.0,)


def test_bit_distance(connection):
    query = "SELECT %s <~> %s, %s <%%> %s"
    bits = [Bit("1100"), Bit("1010")] * 2
    assert connection.execute(query, bits).fetchone() == (2, 1 - 1 / 3)


def test_aggregates(connection):
    connection.execute("CREATE TABLE t (v vector(2), h halfvec(2))")
    assert connection.execute("SELECT avg(v), sum(v), avg(h), sum(h) FROM t").fetchone() == (None,) * 4
    connection.execute("INSERT INTO t SELECT v, v FROM (VALUES ('[1,2]'::vector), ('[3,5]'), (NULL)) AS r(v)")
    answers = connection.execute("SELECT avg(v), sum(v), avg(h), sum(h) FROM t").fetchone()
    assert answers == (Vector([2, 3.5]), Vector([4, 7]), HalfVector([2, 3.5]), HalfVector([4, 7]))


def test_functions(connection):
    query = """
        SELECT binary_quantize(%(v)s), vector_dims(%(v)s), vector_norm(%(v)s), l2_normalize(%(v)s), subvector(%(v)s, 1, 1)
    """
    answers = connection.execute(query, {"v": Vector([3, -4])}).fetchone()
    assert answers == ("10", 2, 5.0, Vector([0.6, -0.8]), Vector([3]))
    assert connection.execute("SELECT binary_quantize(%s)", [HalfVector([-1, 1, 0])]).fetchone() == ("010",)


def test_untyped_parameter(connection):
    """A str is sent without a type; the server takes it as what stands beside it."""
    connection.execute("CREATE TABLE t (v vector(2))")
    connection.execute("INSERT INTO t VALUES (%s), (%s)", ["[1,2]", "[4,6]"], prepare=True)
    query = "SELECT v <-> %s, v * %s, v + %s, v = %s FROM t ORDER BY v <-> %s LIMIT 1"
    rows = connection.execute(query, ["[4,6]"] * 5, prepare=True).fetchall()
    assert rows == [(0.0, Vector([16, 36]), Vector([8, 12]), True)]


# An index of each kind, and the setting with which its answers are exact.
INDEXES = pytest.mark.parametrize(
    ("index", "setting"),
    [("ivfflat (v vector_l2_ops) WITH (lists = 10)", "ivfflat.probes = 10"), ("hnsw (v vector_l2_ops)", "hnsw.ef_search = 1000")],
    ids=["ivfflat", "hnsw"],
)


@INDEXES
def test_prepared_statement_is_reused(connection, index, setting):
    connection.execute("CREATE TABLE t (id int, v vector(2))")
    connection.execute("INSERT INTO t SELECT i, ARRAY[i, 1]::vector FROM generate_series(0, 499) AS i")
    connection.execute(f"CREATE INDEX ON t USING {index}")
    connection.execute(f"SET LOCAL {setting}")
    connection.execute("SET LOCAL enable_seqscan = off")
    # More than five executions: the plan may become a generic one.
    for i in range(12):
        query = "SELECT id FROM t ORDER BY v <-> %s LIMIT 2"
        rows = connection.execute(query, [Vector([40 * i + 0.2, 1])], prepare=True).fetchall()
        assert rows == [(40 * i,), (40 * i + 1,)]
    assert connection.execute("SELECT generic_plans + custom_plans FROM pg_prepared_statements WHERE statement LIKE '%v <-> $1 LIMIT%'").fetchone() == (12,)


def test_pipeline(connection):
    connection.execute("CREATE TABLE t (id int, v vector(2))")
    with connection.pipeline():
        for i in range(100):
            connection.execute("INSERT INTO t VALUES (%s, %s)", [i, Vector([i, 1])])
        near = connection.execute("SELECT id FROM t ORDER BY v <-> %s LIMIT 3", [Vector([41.1, 1])])
        count = connection.execute("SELECT count(*) FROM t")
        assert near.fetchall() == [(41,), (42,), (40,)]
        assert count.fetchone() == (100,)


def test_an_error_in_a_pipeline_leaves_the_session_usable(server, database):
    with server.connect(database, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.DataException), connection.pipeline():
            connection.execute("SELECT '[1,2]'::vector <-> '[1]'")
            connection.execute("SELECT 1")
        assert connection.execute("SELECT '[1,2]'::vector <-> '[1,2]'").fetchone() == (0.0,)


ERRORS = [
    ("'[1,2]'::vector <-> '[1]'", "22000", "different vector dimensions 2 and 1"),
    ("'[1,2]'::vector(3)", "22000", "expected 3 dimensions, not 2"),
    ("'[NaN]'::vector", "22000", "NaN not allowed in vector"),
    ("'[]'::vector", "22000", "vector must have at least 1 dimension"),
    ("'[1'::vector", "22P02", 'invalid input syntax for type vector: "[1"'),
    ("'[1e39]'::vector", "22003", '"1e39" is out of range for type vector'),
    ("'[70000]'::halfvec", "22003", '"70000" is out of range for type halfvec'),
    ("'{2:1,1:1}/1'::sparsevec", "22000", "sparsevec index out of bounds"),
    ("array_fill(1, ARRAY[16001])::vector", "54000", "vector cannot have more than 16000 dimensions"),
    ("ARRAY[1,NULL]::vector", "22004", "array must not contain nulls"),
    ("'[1]'::vector(0)", "22023", "dimensions for type vector must be at least 1"),
    ("'[3e38]'::vector * 2", "22003", "value out of range: overflow"),
    ("B'1' <~> B'11'", "22000", "different bit lengths 1 and 2"),
    ("'[1]'::vector <-> '[1]'::text", "42883", "operator does not exist: vector <-> text"),
]


@pytest.mark.parametrize(("expression", "sqlstate", "message"), ERRORS, ids=[e[0] for e in ERRORS])
def test_errors(connection, expression, sqlstate, message):
    with pytest.raises(psycopg.Error) as caught, connection.transaction():
        connection.execute(f"SELECT {expression}")
    assert (caught.value.sqlstate, caught.value.diag.message_primary) == (sqlstate, message)


def test_errors_of_an_index(connection):
    connection.execute("CREATE TABLE t (v vector(2), w vector, h halfvec(3), b varbit)")
    for statement, sqlstate, message in [
        ("CREATE INDEX ON t USING ivfflat (w vector_l2_ops)", "22023", "column does not have dimensions"),
        (
            "CREATE INDEX ON t USING ivfflat (v vector_l2_ops) WITH (lists = 0)",
            "22023",
            'value 0 out of bounds for option "lists"',
        ),
        ("SET ivfflat.probes = 0", "22023", '0 is outside the valid range for parameter "ivfflat.probes" (1 .. 32768)'),
        ("CREATE INDEX ON t USING hnsw (w vector_l2_ops)", "22023", "column does not have dimensions"),
        ("CREATE INDEX ON t USING hnsw (v vector_l2_ops) WITH (m = 1)", "22023", 'value 1 out of bounds for option "m"'),
        (
            "CREATE INDEX ON t USING hnsw (v vector_l2_ops) WITH (ef_construction = 20)",
            "22023",
            "ef_construction must be greater than or equal to 2 * m",
        ),
        ("CREATE INDEX ON t USING hnsw (b bit_hamming_ops)", "0A000", "type not supported for hnsw index"),
        ("SET hnsw.ef_search = 1001", "22023", '1001 is outside the valid range for parameter "hnsw.ef_search" (1 .. 1000)'),
    ]:
        with pytest.raises(psycopg.Error) as caught, connection.transaction():
            connection.execute(statement)
        assert (caught.value.sqlstate, caught.value.diag.message_primary) == (sqlstate, message)


def test_notice_of_an_index_over_few_rows(connection):
    notices = []
    connection.add_notice_handler(lambda d: notices.append((d.message_primary, d.message_detail, d.message_hint)))
    connection.execute("CREATE TABLE t (v vector(2))")
    connection.execute("CREATE INDEX ON t USING ivfflat (v vector_l2_ops)")
    assert notices == [
        (
            "ivfflat index created with little data",
            "This will cause low recall.",
            "Drop the index until the table has more data.",
        )
    ]


def test_a_filtered_search_goes_on_until_its_limit_is_full(connection):
    connection.execute("CREATE TABLE t (id int, v vector(2))")
    connection.execute("CREATE INDEX ON t USING hnsw (v vector_l2_ops)")
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO t VALUES (%s, %s)", [(i, Vector([i, 1])) for i in range(300)])
    connection.execute("SET LOCAL enable_seqscan = off")
    connection.execute("SET LOCAL hnsw.ef_search = 20")
    query = "SELECT id FROM t WHERE id %% 50 = 0 ORDER BY v <-> %s LIMIT 6"
    assert connection.execute(query, [Vector([0, 1])]).fetchall() == [(0,)]
    connection.execute("SET LOCAL hnsw.iterative_scan = strict_order")
    assert connection.execute(query, [Vector([0, 1])]).fetchall() == [(50 * i,) for i in range(6)]


def test_client_side_binding(server, database):
    """Values written into the statement as literals."""
    with server.connect(database, cursor_factory=psycopg.ClientCursor) as connection:
        register_vector(connection)
        query = "SELECT %s <-> %s, %s::halfvec, %s::sparsevec"
        values = [Vector([1, 2]), np.array([4, 6]), HalfVector([1, 0.5]), SparseVector({1: 2}, 3)]
        assert connection.execute(query, values).fetchone() == (5.0, *values[2:])


def test_many_rows_at_once(connection):
    connection.execute("CREATE TABLE t (id int PRIMARY KEY, v vector(2))")
    upsert = "INSERT INTO t VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET v = excluded.v RETURNING v"
    with connection.cursor() as cursor:
        cursor.executemany(upsert, [(i % 10, Vector([i, 1])) for i in range(100)])
    rows = connection.execute("SELECT v FROM t ORDER BY id").fetchall()
    assert rows == [(Vector([i, 1]),) for i in range(90, 100)]
    assert connection.execute("SELECT id FROM t WHERE v = ANY(%s)", [[Vector([93, 1]), Vector([0, 1])]]).fetchall() == [(3,)]


@INDEXES
def test_server_side_cursor_over_an_index(connection, index, setting):
    connection.execute("CREATE TABLE t (id int, v vector(2))")
    connection.execute("INSERT INTO t SELECT i, ARRAY[i, 1]::vector FROM generate_series(0, 999) AS i")
    connection.execute(f"CREATE INDEX ON t USING {index}")
    connection.execute(f"SET LOCAL {setting}")
    connection.execute("SET LOCAL enable_seqscan = off")
    with connection.cursor("nearest") as cursor:
        cursor.itersize = 7
        cursor.execute("SELECT id FROM t ORDER BY v <-> %s", [Vector([0, 1])])
        assert [row[0] for row in cursor] == list(range(1000))
