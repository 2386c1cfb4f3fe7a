"""Sessions that write, search and vacuum at once until the server ends, and know what was acknowledged."""

import random
import threading

import psycopg

from answers import FUNCTIONS, Search

TABLES = """
CREATE TABLE narrow (id bigint PRIMARY KEY, version int NOT NULL, v vector(16), h halfvec(16), b bit(64),
    w vector(16), g halfvec(16), s sparsevec(16), c bit(64));
CREATE TABLE wide (id bigint PRIMARY KEY, version int NOT NULL, v vector(3000), w vector(3000));
"""
# What a row of the table holds, from its id and version: each vector twice, for an index of each method.
NUMBERS = "numbers({id}, {version}, 16)"
VALUES = {
    "narrow": f"{NUMBERS}::vector, {NUMBERS}::halfvec, bits({{id}}, {{version}}),"
    f" {NUMBERS}::vector, {NUMBERS}::halfvec, {NUMBERS}::vector::sparsevec, bits({{id}}, {{version}})",
    "wide": "numbers({id}, {version}, 3000)::vector, numbers({id}, {version}, 3000)::vector",
}
COLUMNS = {"narrow": "v, h, b, w, g, s, c", "wide": "v, w"}

SEARCHES = [
    Search("narrow", "narrow_l2", "ivfflat", "v vector_l2_ops", "v <-> numbers(5, 0, 16)::vector", "WITH (lists = 7)"),
    Search("narrow", "narrow_ip", "ivfflat", "v vector_ip_ops", "v <#> numbers(5, 0, 16)::vector", "WITH (lists = 3)"),
    Search("narrow", "narrow_cosine", "ivfflat", "v vector_cosine_ops", "v <=> numbers(5, 0, 16)::vector", "WITH (lists = 5)"),
    Search("narrow", "narrow_half", "ivfflat", "h halfvec_l2_ops", "h <-> numbers(5, 0, 16)::halfvec", "WITH (lists = 4)"),
    Search("narrow", "narrow_bit", "ivfflat", "b bit_hamming_ops", "b <~> bits(5, 0)", "WITH (lists = 3)"),
    # 12,000 bytes a vector: an entry takes more than a page.
    Search("wide", "wide_l2", "ivfflat", "v vector_l2_ops", "v <-> numbers(5, 0, 3000)::vector", "WITH (lists = 3)"),
    # Vectors in the table; on pages of the index; there without codes; in the records; in the table, sparse; halves.
    Search("narrow", "narrow_graph_l2", "hnsw", "w vector_l2_ops", "w <-> numbers(5, 0, 16)::vector", "WITH (m = 4)"),
    Search(
        "narrow", "narrow_graph_cosine", "hnsw", "w vector_cosine_ops", "w <=> numbers(5, 0, 16)::vector",
        "WITH (rerank = 'index')",
    ),
    Search("narrow", "narrow_graph_ip", "hnsw", "g halfvec_ip_ops", "g <#> numbers(5, 0, 16)::halfvec"),
    Search("narrow", "narrow_graph_l1", "hnsw", "g halfvec_l1_ops", "g <+> numbers(5, 0, 16)::halfvec"),
    Search("narrow", "narrow_graph_bit", "hnsw", "c bit_jaccard_ops", "c <%> bits(5, 0)"),
    Search("narrow", "narrow_graph_sparse", "hnsw", "s sparsevec_l2_ops", "s <-> numbers(5, 0, 16)::vector::sparsevec"),
    Search("narrow", "narrow_graph_half", "hnsw", "w vector_ip_ops", "w <#> numbers(5, 0, 16)::vector", "WITH (rerank = 'half')"),
    # A vector takes two pages, and a record so much that few share one.
    Search("wide", "wide_graph", "hnsw", "w vector_cosine_ops", "w <=> numbers(5, 0, 3000)::vector", "WITH (rerank = 'index')"),
    Search("wide", "wide_graph_half", "hnsw", "w vector_l2_ops", "w <-> numbers(5, 0, 3000)::vector"),
]

FIRST_ROWS = {"narrow": 300, "wide": 12}


def create(connection):
    """Tables with rows, and every index on them. The first rows belong to no writer: id 0 and below."""
    connection.execute("CREATE EXTENSION pgnear;" + FUNCTIONS + TABLES)
    for table, rows in FIRST_ROWS.items():
        values = VALUES[table].format(id="-i", version="0")
        connection.execute(f"INSERT INTO {table} SELECT -i, 0, {values} FROM generate_series(0, {rows - 1}) i")
    for search in SEARCHES:
        connection.execute(search.create)


class Session(threading.Thread):
    """Does one thing after the other in a session until the server ends or it is told to stop."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.cluster = cluster
        self.failure = None
        self.stop = threading.Event()
        self.runs = 0

    def run(self):
        try:
            with self.cluster.connect() as connection:
                self.begin(connection)
                while not self.stop.is_set():
                    self.step(connection)
                    self.runs += 1
        except psycopg.OperationalError as error:
            # Without a state the server is gone; with one, it may have refused or ended the session.
            if error.sqlstate is not None and error.sqlstate[:2] != "57":
                self.failure = error
        except BaseException as error:
            self.failure = error

    def begin(self, connection):
        pass


class Writer(Session):
    """Inserts, updates and deletes rows with ids of its own, and keeps what the server acknowledged."""

    def __init__(self, cluster, table, number, seed, rows):
        super().__init__(cluster)
        self.table, self.number, self.rows = table, number, rows
        self.random = random.Random(f"{seed} {number}")
        self.next = 1
        # id -> version, as acknowledged; and as it is if the transaction under way was committed.
        self.sure = {}
        self.unsure = {}
        self.commits = 0

    def step(self, connection):
        """Some statements; one in five transactions is rolled back, one has a part rolled back."""
        state = dict(self.sure)
        rolls_back = self.random.random() < 0.2
        if not rolls_back:
            self.unsure = state  # by reference: it is what a commit would leave
        # As statements: psycopg's own transactions end without an error where the server is gone.
        connection.execute("BEGIN")
        for _ in range(self.random.randint(1, 4)):
            self.change(connection, state)
        if self.random.random() < 0.2:
            connection.execute("SAVEPOINT part")
            self.change(connection, dict(state))
            connection.execute("ROLLBACK TO part")
        connection.execute("ROLLBACK" if rolls_back else "COMMIT")
        if not rolls_back:
            self.sure = state
            self.commits += 1

    def change(self, connection, state):
        values = VALUES[self.table].format(id="%(id)s::bigint", version="%(version)s::int")
        columns = COLUMNS[self.table]
        choice = self.random.random()
        if choice < 0.5 and len(state) < self.rows or not state:
            row = {"id": self.number * 1_000_000 + self.next, "version": 0}
            self.next += 1
            connection.execute(f"INSERT INTO {self.table} VALUES (%(id)s, %(version)s, {values})", row)
        elif choice < 0.75:
            row = {"id": self.random.choice(sorted(state))}
            row["version"] = state[row["id"]] + 1
            connection.execute(
                f"UPDATE {self.table} SET (version, {columns}) = ROW (%(version)s, {values}) WHERE id = %(id)s", row
            )
        else:
            row = {"id": self.random.choice(sorted(state))}
            connection.execute(f"DELETE FROM {self.table} WHERE id = %(id)s", row)
            del state[row["id"]]
            return
        state[row["id"]] = row["version"]

    def check(self, connection):
        """The table holds what was acknowledged, or that and all of the last transaction."""
        first, last = self.number * 1_000_000, (self.number + 1) * 1_000_000 - 1
        statement = f"SELECT id, version FROM {self.table} WHERE id BETWEEN %s AND %s"
        found = dict(connection.execute(statement, [first, last]).fetchall())
        assert found in (self.sure, self.unsure), (
            f"{self.table}, writer {self.number}: lost or brought back"
            f" {sorted(set(found.items()) ^ set(self.sure.items()))[:10]}"
        )
        self.sure = self.unsure = found


class Repeat(Session):
    """Runs statements of a list in turn."""

    def __init__(self, cluster, statements):
        super().__init__(cluster)
        self.statements = statements

    def begin(self, connection):
        connection.execute("SET enable_seqscan = off; SET ivfflat.probes = 100")

    def step(self, connection):
        connection.execute(self.statements[self.runs % len(self.statements)])


class Compare(Session):
    """In one snapshot, an index gives the rows that the table has, while others change both."""

    def step(self, connection):
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        SEARCHES[self.runs % len(SEARCHES)].agree(connection)
        connection.execute("COMMIT")


class Load:
    """Writers with sessions that search and one that vacuums. Ids of writers do not overlap."""

    def __init__(self, cluster, seed, searching=True):
        self.cluster, self.searching = cluster, searching
        self.writers = [Writer(cluster, "narrow", n, seed, 200) for n in range(1, 4)]
        self.writers.append(Writer(cluster, "wide", 4, seed, 12))

    def start(self, previous=None):
        """Starts the sessions, writers from where those of the load before ended."""
        if previous is not None:
            for writer, before in zip(self.writers, previous.writers, strict=True):
                writer.next, writer.sure, writer.unsure = before.next, before.sure, before.sure
        searches = [
            f"SELECT id FROM {s.table} ORDER BY {s.order} LIMIT {limit}" for s in SEARCHES for limit in (5, 1000)
        ]
        vacuums = ["VACUUM narrow", "VACUUM wide", "VACUUM narrow", "CHECKPOINT"]
        self.others = [Repeat(self.cluster, vacuums)]
        if self.searching:
            self.others += [Repeat(self.cluster, searches), Compare(self.cluster)]
        for thread in [*self.writers, *self.others]:
            thread.start()
        return self

    def commits(self):
        return sum(writer.commits for writer in self.writers)

    def busy(self, commits):
        """Whether everybody has done something, and so many transactions were committed."""
        self.failed()
        return (
            self.commits() >= commits
            and all(writer.commits for writer in self.writers)
            and all(other.runs >= 4 for other in self.others)
        )

    def failed(self):
        for thread in [*self.writers, *self.others]:
            if thread.failure is not None:
                raise thread.failure

    def end(self):
        """Waits for the sessions: the server is gone, or they are asked to stop."""
        for thread in [*self.writers, *self.others]:
            thread.stop.set()
        for thread in [*self.writers, *self.others]:
            thread.join(120)
            assert not thread.is_alive(), "a session hangs"
        self.failed()

    def check(self, connection):
        """Every acknowledged row is there in its last version, with the values it should have."""
        for writer in self.writers:
            writer.check(connection)
        for table, rows in FIRST_ROWS.items():
            assert connection.execute(f"SELECT count(*) FROM {table} WHERE id <= 0").fetchone() == (rows,)
            values = VALUES[table].format(id="id", version="version")
            wrong = f"SELECT id FROM {table} WHERE ROW ({COLUMNS[table]}) IS DISTINCT FROM ROW ({values})"
            assert connection.execute(wrong).fetchall() == []
