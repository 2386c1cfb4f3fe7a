"""What must hold of an index, whatever has happened: the verifier is content, and a search that reads
every list gives what the sequential scan gives."""

# Vectors as functions of a row's number and version, so that content can be checked without keeping it.
# No vector is zero: cosine does not index those.
FUNCTIONS = """
CREATE FUNCTION numbers(id bigint, version int, n int) RETURNS float8[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
    'SELECT array_agg(sin(i * ((id * 31 + version * 17) % 1009 + 1) * 0.37) + 0.01) FROM generate_series(1, n) i';
CREATE FUNCTION bits(id bigint, version int) RETURNS bit(64) LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
    $$SELECT ('x' || substr(md5(id || '.' || version), 1, 16))::bit(64)$$;
"""


# Settings with which a scan to its end gives every row.
ALL_ROWS = (
    "SET ivfflat.probes = 32768; SET hnsw.ef_search = 1000; SET hnsw.iterative_scan = relaxed_order;"
    " SET hnsw.max_scan_tuples = 2147483647; SET hnsw.scan_mem_multiplier = 1000"
)


class Search:
    """One index and the query that it serves. `{q}` in the order stands for the vector searched for."""

    def __init__(self, table, name, method, on, order, options=""):
        self.table = table
        self.name = name
        self.method = method
        self.create = f"CREATE INDEX {name} ON {table} USING {method} ({on}) {options}"
        self.order = order

    def ids(self, connection, through_index, settings=""):
        """Ids and distances, nearest first, by one of the two ways."""
        way = "enable_indexscan" if not through_index else "enable_seqscan"
        with connection.cursor() as cursor:
            cursor.execute(f"SET enable_indexscan = on; SET enable_seqscan = on; SET enable_sort = on; SET {way} = off")
            cursor.execute(f"SET enable_bitmapscan = off; {ALL_ROWS}; {settings}")
            if through_index:
                cursor.execute("SET enable_sort = off")
            statement = f"SELECT id, {self.order} FROM {self.table} ORDER BY {self.order} LIMIT 1000000"
            cursor.execute(f"EXPLAIN (COSTS OFF) {statement}")
            plan = "\n".join(line for (line,) in cursor)
            uses = f"Index Scan using {self.name}" in plan
            assert uses == through_index, plan
            return cursor.execute(statement).fetchall()

    def agree(self, connection):
        """The index gives every row that the table has, once, in the order of the distances."""
        exact = self.ids(connection, False)
        found = self.ids(connection, True)
        assert sorted(found) == sorted(exact), differences(self.name, found, exact)
        if self.method == "hnsw":
            # In rounds, each in order: by itself the first.
            found = self.ids(connection, True, "SET hnsw.iterative_scan = off")
            assert set(found) <= set(exact), differences(self.name, found, exact)
        distances = [distance for _, distance in found]
        assert distances == sorted(distances), f"{self.name}: out of order"
        return len(exact)


def differences(name, found, exact):
    found, exact = sorted(found), sorted(exact)
    missing, excess = sorted(set(exact) - set(found)), sorted(set(found) - set(exact))
    return (
        f"{name}: {len(found)} rows of {len(exact)}, {len(found) - len(set(found))} twice;"
        f" missing {missing[:10]}, in excess {excess[:10]}"
    )


def findings(connection, index):
    """What the verifier finds that does harm."""
    statement = "SELECT block, list, entry, kind, message FROM pgnear_index_check(%s) WHERE NOT harmless"
    return connection.execute(statement, [index]).fetchall()


def sound(connection, searches):
    """Every index is verified, and agrees with the table. Returns the rows compared."""
    compared = 0
    for search in searches:
        assert findings(connection, search.name) == [], search.name
        compared += search.agree(connection)
    return compared
