"""Batch work on a GPU, on the stand-in for one: same rows, and nothing left behind whatever happens."""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import psycopg
import pytest
from conftest import ROOT

KNN = """SELECT query, id, distance FROM pgnear_knn(
             'SELECT id, embedding FROM questions ORDER BY id', 'SELECT id, embedding FROM items ORDER BY id',
             {k}, '{operator}') AS near(query int8, id int8, distance float8)"""


@pytest.fixture(scope="module")
def folder():
    """A folder that the server can read, with the stand-in."""
    folder = Path(tempfile.mkdtemp(prefix="pgnear-gpu-"))
    subprocess.run([ROOT / "crates/gpu/standin/build.sh", folder], check=True)
    for path in [folder, *folder.iterdir()]:
        path.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def tables(server, database):
    with server.connect(database, autocommit=True) as connection:
        connection.execute(
            """CREATE TABLE items (id int8 PRIMARY KEY, embedding vector(24));
               CREATE TABLE questions (id int8 PRIMARY KEY, embedding vector(24));
               CREATE FUNCTION made_of(seed int) RETURNS vector LANGUAGE sql IMMUTABLE AS $$
                   SELECT array_agg(('x' || substr(md5(seed || '-' || i), 1, 7))::bit(28)::int / 1e8 - 1.3
                                    ORDER BY i)::vector FROM generate_series(1, 24) i $$;
               INSERT INTO items SELECT i, made_of(i) FROM generate_series(1, 1500) i;
               INSERT INTO questions SELECT i, made_of(-i) FROM generate_series(1, 30) i;
               ANALYZE"""
        )
    return database


@pytest.fixture
def session(server, tables, folder):
    """A session whose batch work goes to the stand-in."""
    with server.connect(tables, autocommit=True) as connection:
        connection.execute(f"SET pgnear.gpu_library_folder = '{folder}'")
        connection.execute("SET pgnear.gpu = on")
        yield connection
        assert children(connection.info.backend_pid) == []


def fault(connection, folder, words):
    """Lets the stand-in have a fault."""
    installed = connection.execute("SELECT setting FROM pg_config WHERE name = 'PKGLIBDIR'").fetchone()[0]
    script = folder / f"program-{words.replace('=', '-')}"
    script.write_text(f"#!/bin/sh\nPGNEAR_STANDIN={words} exec '{installed}/pgnear-gpu' \"$@\"\n")
    script.chmod(0o755)
    connection.execute(f"SET pgnear.gpu_program = '{script}'")


def children(pid):
    """The processes that a backend has started and that are not gone."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(status.parent.name))
    return found


def child(pid):
    """The program that a backend has started, once it is past its beginnings."""
    for _ in range(500):
        for found in children(pid):
            try:
                if "pgnear-gpu" in os.readlink(f"/proc/{found}/exe"):
                    return found
            except OSError:
                pass
        time.sleep(0.01)
    raise AssertionError("the backend starts no program")


def gone(pid):
    """Whether a process ends within some seconds."""
    for _ in range(1000):
        if not Path(f"/proc/{pid}").exists():
            return True
        time.sleep(0.01)
    return False


def answers(connection, k=5, operator="<->"):
    return connection.execute(KNN.format(k=k, operator=operator)).fetchall()


def on_cpu(connection, **options):
    connection.execute("SET pgnear.gpu = off")
    found = answers(connection, **options)
    connection.execute("SET pgnear.gpu = on")
    return found


@pytest.mark.parametrize("operator", ["<->", "<#>", "<=>", "<+>"])
def test_same_rows_as_on_the_cpu(session, operator):
    assert answers(session, operator=operator) == on_cpu(session, operator=operator)


def test_the_check_for_real_gpus_passes(server, folder):
    with server.connect("postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE gpu_check")
        installed = connection.execute("SELECT setting FROM pg_config WHERE name = 'BINDIR'").fetchone()[0]
        options = f"-c pgnear.gpu_library_folder={folder}"
        checked = subprocess.run(
            [f"{installed}/psql", "-X", "-d", "gpu_check", "-v", "ON_ERROR_STOP=1"]
            + ["-v", "rows=300", "-v", "questions=100", "-v", "lists=4"]
            + ["-f", ROOT / "crates/gpu/check/check.sql"],
            env={**os.environ, "PGOPTIONS": options},
            capture_output=True,
            text=True,
        )
        assert checked.returncode == 0, checked.stderr
        assert checked.stderr.count(": same rows; GPU ") == 6, checked.stderr
        connection.execute("DROP DATABASE gpu_check")


JOIN = """SELECT q.id, near.id, near.distance FROM questions q CROSS JOIN LATERAL (
              SELECT items.id, items.embedding <=> q.embedding AS distance FROM items ORDER BY distance LIMIT 5) AS near"""


def test_a_join_finds_the_same_rows_as_on_the_cpu(session):
    assert "KnnJoin" in session.execute("EXPLAIN " + JOIN).fetchone()[0]
    found = session.execute(JOIN).fetchall()
    assert session.execute("SELECT requests, vectors FROM pgnear_gpu_stats()").fetchone() == (1, 1530)
    session.execute("SET pgnear.gpu = off")
    assert session.execute(JOIN).fetchall() == found
    session.execute("SET pgnear.enable_knn_join = off")
    assert session.execute(JOIN).fetchall() == found


@pytest.mark.parametrize("words", ["exit=4", "launch=5"])
def test_a_join_goes_on_without_the_gpu(session, folder, words):
    session.execute("SET pgnear.gpu = off")
    expected = session.execute(JOIN).fetchall()
    session.execute("SET pgnear.gpu = auto; SET pgnear.gpu_min_work = 0")
    fault(session, folder, words)
    told = []
    session.add_notice_handler(lambda notice: told.append(notice.severity))
    assert session.execute(JOIN).fetchall() == expected
    assert told == ["WARNING"]


def test_a_join_that_is_cancelled_ends_the_program(session, folder):
    fault(session, folder, "hang=4")
    session.execute("SET statement_timeout = 1000")
    with pytest.raises(psycopg.errors.QueryCanceled):
        session.execute(JOIN)
    session.execute("SET statement_timeout = 0; RESET pgnear.gpu_program")
    assert len(session.execute(JOIN).fetchall()) == 150


def test_statistics_count(session):
    before = session.execute("SELECT * FROM pgnear_gpu_stats()").fetchone()
    assert before == (0, 0, 0, 0, 0, None)
    answers(session)
    requests, vectors, count, milliseconds, fallbacks, error = session.execute(
        "SELECT * FROM pgnear_gpu_stats()"
    ).fetchone()
    assert (requests, vectors, fallbacks, error) == (1, 1530, 0, None)
    assert count >= 1530 * 24 * 4 and milliseconds >= 0


def test_info_tells_the_device_or_the_reason(session, tmp_path):
    info = "SELECT device, compute_capability, cuda_driver, free_bytes > 0, problem FROM pgnear_gpu_info()"
    assert session.execute(info).fetchone() == ("stand-in for a GPU", "8.0", "12.4", True, None)
    session.execute("SET pgnear.gpu_device = 1")
    reason = "there is no GPU 1: the driver sees 1, from 0"
    assert session.execute(info).fetchone() == (None, None, None, None, reason)
    session.execute("SET pgnear.gpu = off")
    assert session.execute(info).fetchone()[4] == "pgnear.gpu is off"
    session.execute("SET pgnear.gpu_program = '/nonexistent/program'; SET pgnear.gpu = auto")
    assert session.execute(info).fetchone()[4].startswith("cannot start /nonexistent/program: ")


def test_small_work_stays_on_the_cpu(session):
    session.execute("SET pgnear.gpu = auto")
    answers(session)
    assert session.execute("SELECT requests, fallbacks FROM pgnear_gpu_stats()").fetchone() == (0, 0)
    session.execute("SET pgnear.gpu_min_work = 0.001")
    answers(session)
    assert session.execute("SELECT requests, fallbacks FROM pgnear_gpu_stats()").fetchone() == (1, 0)


@pytest.mark.parametrize("words", ["exit=4", "launch=5", "memory=20000"])
def test_a_failure_costs_a_warning_and_time_or_is_an_error(session, folder, words):
    expected = on_cpu(session)
    fault(session, folder, words)
    with pytest.raises(psycopg.errors.SystemError, match="cannot use a GPU: "):
        answers(session)
    session.execute("SET pgnear.gpu = auto; SET pgnear.gpu_min_work = 0")
    # It rests for a minute after that error, and a new session has not seen it.
    assert answers(session) == expected
    with psycopg.connect(session.info.dsn, autocommit=True) as other:
        notices = []
        other.add_notice_handler(lambda notice: notices.append((notice.severity, notice.message_primary)))
        for setting in ["gpu_library_folder", "gpu_program"]:
            value = session.execute(f"SHOW pgnear.{setting}").fetchone()[0]
            other.execute(f"SET pgnear.{setting} = '{value}'")
        other.execute("SET pgnear.gpu_min_work = 0")
        assert answers(other) == expected
        assert answers(other) == expected
        assert [severity for severity, _ in notices] == ["WARNING"]
        assert notices[0][1].startswith("the GPU failed, and the CPU does the work: ")
        fallbacks, error = other.execute("SELECT fallbacks, last_error FROM pgnear_gpu_stats()").fetchone()
        assert fallbacks == 1 and notices[0][1].endswith(error)


def test_without_a_gpu_nothing_is_said(session, folder):
    expected = on_cpu(session)
    fault(session, folder, "no-device")
    notices = []
    session.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    session.execute("SET pgnear.gpu = auto; SET pgnear.gpu_min_work = 0")
    assert answers(session) == expected
    assert notices == []
    last = session.execute("SELECT fallbacks, last_error FROM pgnear_gpu_stats()").fetchone()
    assert last == (1, "the NVIDIA driver sees no GPU")


def in_the_background(connection):
    """Runs a search that hangs; a list that its error comes into."""
    outcome = []

    def run():
        try:
            outcome.append(answers(connection))
        except psycopg.Error as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


@pytest.mark.parametrize("how", ["timeout", "cancel", "terminate"])
def test_a_statement_that_is_stopped_ends_the_program(server, tables, folder, how):
    with server.connect(tables, autocommit=True) as other, server.connect(tables, autocommit=True) as one:
        one.execute(f"SET pgnear.gpu_library_folder = '{folder}'; SET pgnear.gpu = on")
        fault(one, folder, "hang=4")
        pid = one.info.backend_pid
        if how == "timeout":
            one.execute("SET statement_timeout = 3000")
        thread, outcome = in_the_background(one)
        program = child(pid)
        if how == "cancel":
            other.execute("SELECT pg_cancel_backend(%s)", [pid])
        if how == "terminate":
            other.execute("SELECT pg_terminate_backend(%s)", [pid])
        thread.join()
        expected = psycopg.errors.AdminShutdown if how == "terminate" else psycopg.errors.QueryCanceled
        assert isinstance(outcome[0], expected), outcome
        assert gone(program)
        if how != "terminate":
            # The session goes on.
            one.execute("SET statement_timeout = 0; RESET pgnear.gpu_program")
            assert len(answers(one)) == 150


def test_a_program_that_is_killed_is_noticed(session, folder):
    fault(session, folder, "hang=4")
    expected = on_cpu(session)
    session.execute("SET pgnear.gpu = auto; SET pgnear.gpu_min_work = 0")
    thread, outcome = in_the_background(session)
    time.sleep(0.3)
    os.kill(child(session.info.backend_pid), signal.SIGKILL)
    thread.join()
    assert outcome[0] == expected
    error = session.execute("SELECT last_error FROM pgnear_gpu_stats()").fetchone()[0]
    assert error.startswith("the GPU program ended with signal: 9"), error


def test_the_program_keeps_nothing_of_the_backend(session, folder):
    fault(session, folder, "hang=4")
    session.execute("SET statement_timeout = 5000")
    thread, outcome = in_the_background(session)
    program = child(session.info.backend_pid)
    time.sleep(0.3)
    open_files = sorted(os.readlink(link) for link in Path(f"/proc/{program}/fd").iterdir())
    status = Path(f"/proc/{program}/status").read_text()
    thread.join()
    sockets = [name for name in open_files if name.startswith("socket:")]
    assert len(sockets) == 1, open_files
    others = [name for name in open_files if name not in sockets]
    assert set(others) == {"/dev/null", "/memfd:pgnear (deleted)"}, open_files
    masks = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Sig"))
    # Signals 32 and 33 are the C library's own.
    assert int(masks["SigBlk"], 16) == 0 and int(masks["SigIgn"], 16) & ~(3 << 31) == 0, masks


def test_the_program_can_not_be_chosen_by_everybody(server, tables):
    with server.connect(tables) as connection:
        connection.execute("SELECT '[1]'::vector; CREATE ROLE gpu_nobody; SET ROLE gpu_nobody")
        connection.execute("SAVEPOINT before")
        for setting in ["gpu_program", "gpu_library_folder", "gpu_memory_limit"]:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SET pgnear.{setting} = '7'")
            connection.execute("ROLLBACK TO before")
        connection.execute("SET pgnear.gpu = off; SET pgnear.gpu_device = 1; SET pgnear.gpu_min_work = 3")
        connection.execute("SELECT * FROM pgnear_gpu_info()")
        connection.execute("SELECT * FROM pgnear_gpu_stats()")
        connection.rollback()


def test_a_great_many_batches_leave_nothing_behind(session):
    pid = session.info.backend_pid

    def held():
        status = Path(f"/proc/{pid}/status").read_text()
        kilobytes = int(status.split("VmRSS:")[1].split()[0])
        return kilobytes, len(list(Path(f"/proc/{pid}/fd").iterdir()))

    little = """SELECT count(*) FROM pgnear_knn('SELECT id, embedding FROM questions LIMIT 2',
                    'SELECT id, embedding FROM items LIMIT 5', 1) AS near(q int8, id int8, d float8)"""
    for _ in range(20):
        session.execute(little)
    before = held()
    for _ in range(100):
        assert session.execute(little).fetchone()[0] == 2
    after = held()
    assert after[1] == before[1]
    assert after[0] < before[0] + 4096
    assert children(pid) == []


@pytest.mark.parametrize("opclass, workers", [("vector_l2_ops", 0), ("vector_cosine_ops", 1)])
def test_an_ivfflat_index_is_that_of_the_cpu(session, opclass, workers):
    session.execute("CREATE TEMP TABLE few AS SELECT * FROM items WHERE id <= 500; ANALYZE few")
    if workers:
        # No worker reads another session's temporary table.
        session.execute("CREATE UNLOGGED TABLE shared_few AS SELECT * FROM few; ANALYZE shared_few")
    table = "shared_few" if workers else "few"
    build = f"CREATE INDEX made ON {table} USING ivfflat (embedding {opclass}) WITH (lists = 12)"
    operator = "<->" if opclass == "vector_l2_ops" else "<=>"
    searched = f"""SELECT array_agg(near.id) FROM questions, LATERAL (
                       SELECT id FROM {table} ORDER BY {table}.embedding {operator} questions.embedding LIMIT 5) AS near"""
    session.execute("SET min_parallel_table_scan_size = 0; SET enable_seqscan = off")
    session.execute(f"SET max_parallel_maintenance_workers = {workers}")
    session.execute(f"ALTER TABLE {table} SET (parallel_workers = {workers})")
    told = []
    session.add_notice_handler(lambda notice: told.append((notice.severity, notice.message_primary)))
    found = []
    for gpu in ["on", "off"]:
        session.execute(f"SET pgnear.gpu = {gpu}")
        session.execute(build)
        # Of one probe: the lists, and what is in them, are the same.
        found.append(session.execute(searched).fetchone()[0])
        assert session.execute("SELECT * FROM pgnear_index_check('made') WHERE NOT harmless").fetchall() == []
        session.execute("DROP INDEX made")
    assert found[0] == found[1]
    assert [severity for severity, _ in told] == ["INFO"]
    session.execute("DROP TABLE IF EXISTS shared_few")
    assert told[0][1].startswith("k-means of 12 lists over 500 rows ran on stand-in for a GPU in ")


def test_a_build_goes_on_without_the_gpu(session, folder):
    session.execute("SET pgnear.gpu = off; SET max_parallel_maintenance_workers = 0")
    told = []
    session.add_notice_handler(lambda notice: told.append(notice.severity))
    build = "CREATE INDEX made ON items USING ivfflat (embedding vector_l2_ops) WITH (lists = 12)"
    for words in ["launch=9", "exit=20"]:
        with psycopg.connect(session.info.dsn, autocommit=True) as other:
            other.add_notice_handler(lambda notice: told.append(notice.severity))
            value = session.execute("SHOW pgnear.gpu_library_folder").fetchone()[0]
            other.execute(f"SET pgnear.gpu_library_folder = '{value}'")
            other.execute("SET pgnear.gpu_min_work = 0; SET max_parallel_maintenance_workers = 0")
            fault(other, folder, words)
            other.execute(build)
            assert other.execute("SELECT * FROM pgnear_index_check('made') WHERE NOT harmless").fetchall() == []
            other.execute("DROP INDEX made")
    assert told == ["WARNING", "WARNING"]


def test_a_build_that_is_cancelled_ends_the_program(session, folder):
    fault(session, folder, "hang=9")
    session.execute("SET statement_timeout = 700; SET max_parallel_maintenance_workers = 0")
    with pytest.raises(psycopg.errors.QueryCanceled):
        session.execute("CREATE INDEX made ON items USING ivfflat (embedding vector_l2_ops) WITH (lists = 12)")
    session.execute("SET statement_timeout = 0; RESET pgnear.gpu_program")
    assert len(answers(session)) == 150
