"""Pages are freed and used again while scans are open: each scan gives what its snapshot sees, once."""

from answers import Search

ROWS = 6000
SEARCH = Search("item", "item_l2", "ivfflat", "v vector_l2_ops", "v <-> numbers(5, 1, 16)::vector", "WITH (lists = 8)")

# How far a scan is when its pages change: nothing is kept, so that lists are read again and again;
# lists are read one by one; all are read, and rows leave.
SCANS = {
    "rereads": "SET LOCAL work_mem = '64kB'; SET LOCAL ivfflat.probes = 8",
    "iterates": "SET LOCAL ivfflat.probes = 1; SET LOCAL ivfflat.iterative_scan = relaxed_order",
    "has read": "SET LOCAL work_mem = '64MB'; SET LOCAL ivfflat.probes = 8",
}


def insert(connection, first, rows):
    connection.execute(
        f"INSERT INTO item SELECT i, numbers(i, i / 1009, 16)::vector FROM generate_series({first}, {first + rows - 1}) i"
    )


def create(connection):
    """Rows that stay, then rows that are deleted: in a list the latter have pages of their own.

    Returns the number of a transaction after the one that deleted."""
    connection.execute("CREATE TABLE item (id bigint, v vector(16))")
    insert(connection, 1, 2 * ROWS)
    connection.execute(SEARCH.create)
    connection.execute(f"DELETE FROM item WHERE id > {ROWS}")
    return connection.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()[0]


def open_scans(connect):
    """Scans that have given their first rows, each in a transaction of its own."""
    scans = []
    for name, settings in SCANS.items():
        connection = connect(autocommit=False)
        connection.execute(f"SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off; {settings}")
        statement = f"SELECT id FROM item ORDER BY {SEARCH.order} LIMIT 1000000"
        plan = "\n".join(line for (line,) in connection.execute(f"EXPLAIN {statement}"))
        assert f"Index Scan using {SEARCH.name}" in plan, plan
        connection.execute(f"DECLARE scan CURSOR FOR {statement}")
        scans.append((name, connection, connection.execute("FETCH 10 FROM scan").fetchall()))
    return scans


def use_pages_again(connection):
    """Frees pages, and gives them to other lists. Nothing that a snapshot sees is removed."""
    pages = "SELECT pg_relation_size('item_l2') / 8192"
    before = connection.execute(pages).fetchone()[0]
    connection.execute("VACUUM (TRUNCATE off) item")
    insert(connection, 20_001, ROWS // 2)
    # Rows of a transaction that fails are nobody's, and so is their room.
    connection.execute("BEGIN")
    insert(connection, 50_001, ROWS // 3)
    connection.execute("ROLLBACK")
    connection.execute("VACUUM (TRUNCATE off) item")
    insert(connection, 30_001, ROWS // 3)
    after = connection.execute(pages).fetchone()[0]
    # Without the pages that were freed it would be half as long again.
    assert after < before * 1.2, f"{before} pages became {after}: none were used again"


def finish(scans):
    """Every scan gives the rest of its rows."""
    for name, connection, first in scans:
        rest = connection.execute("FETCH ALL FROM scan").fetchall()
        connection.rollback()
        connection.close()
        found = [id for (id,) in first + rest]
        assert len(found) == len(set(found)), f"a scan that {name}: rows given twice"
        assert sorted(found) == list(range(1, ROWS + 1)), f"a scan that {name}: {len(found)} rows of {ROWS}"
