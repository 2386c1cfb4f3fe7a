"""A private cluster that tests may crash, damage, replicate and starve.

The environment names the programs (PGBIN), the folder for the clusters (PGNEAR_CLUSTERS) and, where
the tests run as root, the user that servers run as (PGNEAR_SERVER_USER).
"""

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

BIN = Path(os.environ["PGBIN"])
CLUSTERS = Path(os.environ["PGNEAR_CLUSTERS"])
USER = os.environ.get("PGNEAR_SERVER_USER")
# Any text gives other places of damage and other moments of a crash.
SEED = os.environ.get("PGNEAR_SEED", "")

# A crash of processes leaves what was written with the operating system, so nothing is synced. Few
# buffers, so that pages are written, evicted and read again; small segments and a small limit of WAL,
# so that checkpoints happen. Vacuum runs when a test says so.
SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "fsync": "off",
    "full_page_writes": "on",
    "wal_level": "replica",
    "shared_buffers": "4MB",
    "min_wal_size": "4MB",
    "max_wal_size": "16MB",
    "checkpoint_timeout": "30s",
    "autovacuum": "off",
    "restart_after_crash": "off",
    "max_connections": "40",
    "max_prepared_transactions": "5",
    "jit": "off",
    "timezone": "UTC",
    "log_line_prefix": "%m [%p] %e ",
    "log_checkpoints": "off",
}

# What a loaded machine may take, in seconds. Nothing is asserted about time: who waits longer hangs.
PATIENCE = 120


def major():
    """The major version of the server."""
    printed = subprocess.run([BIN / "postgres", "--version"], capture_output=True, text=True, check=True)
    return int(re.search(r"\d+", printed.stdout)[0])


MAJOR = major()


def as_server():
    """Arguments for subprocess: the server's user, and a folder that it can enter."""
    if USER is None:
        return {}
    entry = pwd.getpwnam(USER)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": [], "cwd": "/"}


def give_to_server(path):
    if USER is not None:
        entry = pwd.getpwnam(USER)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def environment():
    """The caller's environment without its PostgreSQL settings; backtraces would end up in errors."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PG") and not k.endswith("_BACKTRACE")}
    return dict(kept, LC_ALL="C.UTF-8")


def program(name, *arguments, check=True):
    """Runs one of the server's programs as the server's user. Returns what it printed."""
    # A file, not a pipe: a server that pg_ctl starts would keep the pipe open.
    with tempfile.TemporaryFile("w+") as printed:
        outcome = subprocess.run(
            [BIN / name, *map(str, arguments)],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            timeout=2 * PATIENCE,
            **as_server(),
        )
        printed.seek(0)
        text = printed.read()
    assert not check or outcome.returncode == 0, f"{name} {arguments}: {text}"
    return text


def wait_for(condition, what):
    """Waits until the condition holds, and returns what it gave."""
    deadline = time.monotonic() + PATIENCE
    while True:
        if found := condition():
            return found
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)


def alive(pid):
    """Whether the process runs; one that ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid):
    """The processes whose parent is `pid`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == pid:
                found.append(int(entry.name))
    return found


class Cluster:
    """A cluster by name, with `settings` on top of SETTINGS."""

    def __init__(self, name, *, checksums=True, settings=None):
        self.data = CLUSTERS / name
        self.settings = {**SETTINGS, **(settings or {})}
        self.checksums = checksums
        # Short, and closed to other users, so whoever can connect is trusted.
        self.socket = Path(tempfile.mkdtemp(prefix="pgnear-"))
        give_to_server(self.socket)

    def create(self):
        """Makes the data folder."""
        arguments = ["-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"]
        arguments += ["--no-sync", "--wal-segsize=1"]
        if self.checksums:
            arguments.append("--data-checksums")
        elif MAJOR >= 18:
            arguments.append("--no-data-checksums")
        program("initdb", *arguments)
        self.configure()
        return self

    def copy_of(self, primary, slot):
        """Makes the data folder as a standby's, from a running primary."""
        program("pg_basebackup", "-D", self.data, "-h", primary.socket, "-U", "postgres", "-R", "-X", "stream",
                "-C", "-S", slot, "--checkpoint=fast", "--no-sync")
        self.configure()
        return self

    def configure(self, **settings):
        """Changes settings; the server reads them when it starts."""
        self.settings |= settings
        lines = [f"{name} = '{value}'\n" for name, value in self.settings.items()]
        lines.append(f"unix_socket_directories = '{self.socket}'\n")
        path = self.data / "test.conf"
        path.write_text("".join(lines))
        give_to_server(path)
        main = self.data / "postgresql.conf"
        if "include 'test.conf'" not in main.read_text():
            with main.open("a") as file:
                file.write("\ninclude 'test.conf'\n")

    @property
    def log(self):
        path = self.data / "server.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self):
        try:
            program("pg_ctl", "start", "-D", self.data, "-l", self.data / "server.log", "-w", "-t", PATIENCE, "-s")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log[-3000:]}") from None
        return self

    def stop(self, mode="fast"):
        program("pg_ctl", "stop", "-D", self.data, "-m", mode, "-w", "-t", PATIENCE, "-s")

    def pid(self):
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def running(self):
        return "server is running" in program("pg_ctl", "status", "-D", self.data, check=False)

    def kill(self):
        """Ends every process of the server at once."""
        postmaster = self.pid()
        # Stopped, it makes no more children and cannot tell them of a crash.
        os.kill(postmaster, signal.SIGSTOP)
        family = [*children(postmaster), postmaster]
        for pid in family:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_for(lambda: not any(map(alive, family)), "the end of the server's processes")
        # Where nobody waits for the dead, a server takes their ids for those of one that runs.
        (self.data / "postmaster.pid").unlink()
        (self.socket / ".s.PGSQL.5432.lock").unlink()

    def connect(self, database="postgres", **options):
        options.setdefault("autocommit", True)
        return psycopg.connect(
            host=str(self.socket), port=5432, user="postgres", dbname=database, connect_timeout=PATIENCE, **options
        )

    def query(self, statement, parameters=None):
        """The rows of one statement, in a session of its own."""
        with self.connect() as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else None

    def crashes(self):
        """The lines of the log that say that a process died by itself."""
        signs = ("was terminated by signal", "PANIC: ", "TRAP: ")
        return [line for line in self.log.splitlines() if any(sign in line for sign in signs)]

    def remove(self):
        """Ends the server, if it runs, and removes what is left of it."""
        if (self.data / "postmaster.pid").exists() and self.running():
            self.stop("immediate")
        shutil.rmtree(self.data, ignore_errors=True)
        shutil.rmtree(self.socket, ignore_errors=True)
