"""Damaged index files: every statement works or says which block is damaged and what to do. The server
goes on, nothing loops, and REINDEX heals."""

import random

import psycopg
import pytest

from answers import FUNCTIONS, Search, sound
from cluster import SEED

PAGE = 8192
SPECIAL = 24
# Of the special area, what every reader must hold against what led to the page: mark, format, kind, owner,
# generation, next page. The last 4 bytes are for pages that need them; hnsw finds pages by arithmetic.
MEANING = {"ivfflat": 20, "hnsw": 8}

INDEX_CORRUPTED, DATA_CORRUPTED, NOT_READY = "XX002", "XX001", "55000"


class Damage:
    """One change to a file. `found` says that the verifier must see it."""

    def __init__(self, name, change, found=True):
        self.name, self.change, self.found = name, change, found


def write(file, at, new):
    file[at : at + len(new)] = new


def flip(chance, places, name, found):
    """Another value for one byte: at one of the `places` in a page of the file."""

    def change(file):
        block = chance.randrange(len(file) // PAGE)
        at = block * PAGE + chance.choice(places)
        file[at] ^= chance.randint(1, 255)
        return f"byte {at % PAGE} of block {block}"

    return Damage(name, change, found)


def garbage(chance, size, name, found):
    def change(file):
        at = chance.randrange(len(file) // size) * size
        write(file, at, chance.randbytes(size))
        return f"{size} bytes at {at % PAGE} of block {at // PAGE}"

    return Damage(name, change, found)


def zeroed(chance):
    def change(file):
        block = chance.randrange(len(file) // PAGE)
        write(file, block * PAGE, bytes(PAGE))
        return f"block {block}"

    return Damage("page zeroed", change)


def copied(chance, found):
    """A sound page in the place of another, as a disk that lost a write or swapped two has it."""

    def change(file):
        source, target = chance.sample(range(len(file) // PAGE), 2)
        write(file, target * PAGE, bytes(file[source * PAGE : (source + 1) * PAGE]))
        return f"block {source} over block {target}"

    # Parts of a wide vector of ivfflat do not say which one they are part of.
    return Damage("page copied", change, found=found)


def circle(chance):
    """Pages lead back to one that leads to them."""

    def change(file):
        block, other = chance.choices(range(1, len(file) // PAGE), k=2)
        end = (block + 1) * PAGE
        generation = bytes(file[(other + 1) * PAGE - SPECIAL + 8 : (other + 1) * PAGE - SPECIAL + 12])
        write(file, end - SPECIAL + 12, other.to_bytes(4, "little") + generation)
        return f"block {block} leads to {other}"

    # It may have been so before.
    return Damage("link turned", change, found=False)


def cut(chance, rest, found=True):
    def change(file):
        size = chance.randrange(len(file) // PAGE) * PAGE + rest
        del file[size:]
        return f"{size} bytes left"

    return Damage("file cut", change, found)


def emptied():
    def change(file):
        file.clear()
        return "nothing left"

    return Damage("file emptied", change)


def lengthened():
    def change(file):
        file.extend(bytes(3 * PAGE))
        return "three pages of zeros"

    # What a crash may leave.
    return Damage("file lengthened", change, found=False)


def damages(chance, rounds, method, wide):
    """The changes of a run, over and over with other places."""
    meaning = range(PAGE - SPECIAL, PAGE - SPECIAL + MEANING[method])
    used_body = range(24, 1200)
    for _ in range(rounds):
        # The log position, checksum and hint bits of a page header mean nothing to an index.
        yield flip(chance, range(12), "header flipped", False)
        yield flip(chance, range(12, 20), "header flipped", False)
        yield flip(chance, meaning, "special area flipped", True)
        yield flip(chance, meaning, "special area flipped", True)
        yield flip(chance, used_body, "body flipped", False)
        yield flip(chance, used_body, "body flipped", False)
        # The numbers that the meta page or a first entry begins with.
        yield flip(chance, range(24, 24 + 64), "start of body flipped", False)
        yield garbage(chance, 64, "64 bytes overwritten", False)
        yield garbage(chance, PAGE, "page overwritten", True)
        yield zeroed(chance)
        yield copied(chance, method == "hnsw" or not wide)
        yield circle(chance)
        yield cut(chance, 0)
        yield cut(chance, 3000)
    yield emptied()
    yield lengthened()


class Victim:
    """A table and an index that is damaged."""

    def __init__(self, number, damage, wide, method):
        self.damage, self.wide = damage, wide
        self.table, self.index = f"t{number}", f"t{number}_v_idx"
        self.dims = 3000 if wide else 24
        self.rows = 12 if wide else 700
        operators = [("vector_l2_ops", "<->"), ("vector_cosine_ops", "<=>"), ("vector_ip_ops", "<#>")]
        opclass, operator = operators[number % 3]
        order = f"v {operator} numbers(5, 1, {self.dims})::vector"
        options = "WITH (lists = 5)" if method == "ivfflat" else f"WITH (rerank = '{('heap', 'index', 'half')[number // 3 % 3]}')"
        self.search = Search(self.table, self.index, method, f"v {opclass}", order, options)
        self.text = f"{damage.name} ({method}, {'wide' if wide else 'plain'}, {opclass}, {options})"

    def create(self, connection):
        connection.execute(f"CREATE TABLE {self.table} (id bigint, v vector({self.dims}))")
        source = "wide" if self.wide else "narrow"
        connection.execute(f"INSERT INTO {self.table} SELECT id, v FROM {source} WHERE id <= {self.rows}")
        connection.execute(self.search.create)
        self.path = connection.execute("SELECT pg_relation_filepath(%s)", [self.index]).fetchone()[0]

    def break_file(self, data):
        path = data / self.path
        file = bytearray(path.read_bytes())
        self.text += ": " + self.damage.change(file)
        # In place: the file stays the server's.
        with path.open("r+b") as out:
            out.write(file)
            out.truncate(len(file))

    def attempt(self, connection, statement):
        """Runs a statement: its rows, or None where it reports the damage as it should."""
        try:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            state, diagnosis = error.sqlstate, error.diag
            assert state in (INDEX_CORRUPTED, DATA_CORRUPTED, NOT_READY), (
                f"{self.text}: {statement}: {state} {error}"
            )
            if state != DATA_CORRUPTED:  # which is PostgreSQL's own word
                assert self.index in diagnosis.message_primary, f"{self.text}: {error}"
                assert "REINDEX" in diagnosis.message_hint, f"{self.text}: {error}"
            if state == INDEX_CORRUPTED:
                # Which page; or, where the table has no place that the index leads to, which row.
                where = ("corrupted at block ", "corrupted: row (")
                assert any(words in diagnosis.message_primary for words in where), f"{self.text}: {error}"
            return None

    def use(self, connection):
        """Searches, inserts, deletes and vacuums. Returns how many statements reported the damage."""
        table, order = self.table, self.search.order
        source = "wide" if self.wide else "narrow"
        some = 3 if self.wide else 60
        insert = f"INSERT INTO {table} SELECT id + {{}}, v FROM {source} WHERE id % 7 = 3 LIMIT {some}"
        find = f"SELECT id FROM {table} ORDER BY {order} LIMIT {{}}"
        settings = (
            "SET enable_seqscan = off; SET enable_sort = off; SET ivfflat.probes = {0}; SET ivfflat.iterative_scan = {1};"
            " SET hnsw.ef_search = {0}0; SET hnsw.iterative_scan = {1}"
        )
        statements = [
            settings.format(2, "relaxed_order"),
            f"SELECT id FROM {table} WHERE id % 5 = 1 ORDER BY {order} LIMIT 1000",
            settings.format(5, "off"),
            find.format(5),
            find.format(5000),
            insert.format(10_000),
            f"DELETE FROM {table} WHERE id % 3 = 0",
            f"VACUUM {table}",
            find.format(5000),
            insert.format(20_000),
            f"DELETE FROM {table} WHERE id % 3 = 1",
            f"VACUUM {table}",
            insert.format(30_000),
            find.format(5000),
            f"SELECT * FROM pgnear_index_check('{self.index}')",
        ]
        return sum(self.attempt(connection, statement) is None for statement in statements)

    def check(self, connection):
        """The verifier sees what it must see. Returns whether it has seen something."""
        rows = self.attempt(connection, f"SELECT harmless FROM pgnear_index_check('{self.index}')")
        seen = rows is None or any(not harmless for (harmless,) in rows)
        assert seen or not self.damage.found, f"{self.text}: not seen by the verifier"
        return seen


@pytest.mark.parametrize("method", MEANING)
@pytest.mark.parametrize("checksums, rounds", [(False, 3), (True, 1)], ids=["", "checksums"])
def test_damage_is_reported_and_reindex_heals(make_cluster, checksums, rounds, method):
    cluster = make_cluster("damaged", checksums=checksums).create().start()
    chance = random.Random(f"damage {checksums} {method} {SEED}")
    victims = []
    for wide in (False, True):
        for damage in damages(chance, rounds, method, wide):
            victims.append(Victim(len(victims), damage, wide, method))
    with cluster.connect() as connection:
        connection.execute("CREATE EXTENSION pgnear;" + FUNCTIONS)
        for table, dims, rows in (("narrow", 24, 1000), ("wide", 3000, 30)):
            connection.execute(
                f"CREATE TABLE {table} AS SELECT i AS id, numbers(i, 0, {dims})::vector AS v"
                f" FROM generate_series(1, {rows}) i"
            )
        for victim in victims:
            victim.create(connection)
    cluster.stop()
    for victim in victims:
        victim.break_file(cluster.data)
    cluster.start()
    seen = reported = 0
    with cluster.connect() as connection:
        connection.execute("SET statement_timeout = '60s'")
        for victim in victims:
            try:
                seen += victim.check(connection)
                reported += victim.use(connection)
                connection.execute(f"RESET enable_sort; REINDEX INDEX {victim.index}")
                sound(connection, [victim.search])
            except psycopg.OperationalError as error:
                raise AssertionError(f"{victim.text}: {error}\n{cluster.log[-3000:]}") from error
    assert cluster.crashes() == []
    print(f"{len(victims)} damaged indexes: {seen} found by the verifier, {reported} statements reported damage")
