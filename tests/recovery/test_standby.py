"""A streaming standby answers as its primary does, also while pages are used again under an open scan, and
can be promoted. Every page that replay makes is compared with the primary's."""

import pytest

import load
import reuse
from answers import sound
from cluster import SEED, wait_for


class Pair:
    """A primary under `load`'s tables, and its standby."""

    def __init__(self, make_cluster):
        # An image of every page changed goes with its record, and the standby compares.
        settings = {"wal_consistency_checking": "generic"}
        self.primary = make_cluster("primary", settings=settings).create().start()
        with self.primary.connect() as connection:
            load.create(connection)
        # Readers are never ended by replay; rows that they may see stay on the primary, or replay would wait.
        settings = {"max_standby_streaming_delay": "-1", "hot_standby_feedback": "on", "wal_receiver_status_interval": 1}
        self.standby = make_cluster("standby", settings=settings)
        self.standby.copy_of(self.primary, "standby").start()

    def catch_up(self):
        """Waits until the standby has replayed what the primary has written."""
        written = self.primary.query("SELECT pg_current_wal_insert_lsn()")[0][0]

        def replayed():
            if not self.standby.running():
                raise AssertionError(f"the standby ended:\n{self.standby.log[-3000:]}")
            return self.standby.query("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [written])[0][0]

        wait_for(replayed, "the standby")

    def agree(self):
        """Both give the same, verified, and in the same order."""
        self.catch_up()
        with self.primary.connect() as primary, self.standby.connect() as standby:
            for search in load.SEARCHES:
                assert search.ids(standby, True) == search.ids(primary, True), search.name
            return sound(standby, load.SEARCHES)


@pytest.fixture
def pair(make_cluster):
    pair = Pair(make_cluster)
    yield pair
    assert pair.primary.crashes() == [] and pair.standby.crashes() == []
    assert "inconsistent page" not in pair.standby.log


def test_a_standby_answers_as_its_primary_and_is_promoted(pair):
    assert pair.agree() > 0
    current = None
    for round in range(2):
        current = load.Load(pair.primary, f"{SEED} {round}").start(current)
        readers = [load.Compare(pair.standby), load.Compare(pair.standby)]
        for reader in readers:
            reader.start()
        wait_for(lambda: current.busy(150) and all(r.runs >= 8 or r.failure for r in readers), "transactions")
        current.end()
        for reader in readers:
            reader.stop.set()
            reader.join(120)
            assert reader.failure is None, reader.failure
        print(f"{current.commits()} transactions, {pair.agree()} rows compared")
    # The standby dies and recovers, then takes over.
    pair.standby.kill()
    pair.standby.start()
    pair.agree()
    pair.primary.stop("immediate")
    pair.standby.query("SELECT pg_promote(true, 120)")
    last = load.Load(pair.standby, f"{SEED} promoted").start(current)
    wait_for(lambda: last.busy(100), "transactions on the promoted server")
    last.end()
    with pair.standby.connect() as connection:
        last.check(connection)
        connection.execute("VACUUM narrow")
        connection.execute("VACUUM wide")
        sound(connection, load.SEARCHES)


def test_pages_are_used_again_under_scans_on_a_standby(pair):
    """Replay does not wait for scans, since what they see is not touched: they notice by themselves."""
    with pair.primary.connect() as primary:
        later = reuse.create(primary)
        pair.catch_up()
        # Until the standby has said that it needs the rows deleted no longer.
        oldest = "SELECT xmin::text::bigint >= %s FROM pg_replication_slots"
        wait_for(lambda: primary.execute(oldest, [later]).fetchone()[0], "word from the standby")
        scans = reuse.open_scans(pair.standby.connect)
        reuse.use_pages_again(primary)
        pair.catch_up()
        reuse.finish(scans)
    with pair.standby.connect() as standby:
        assert sound(standby, [reuse.SEARCH]) > reuse.ROWS
