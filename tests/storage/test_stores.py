"""What every store promises: files, files on a simulated disk, and memory give the same answers."""

from __future__ import annotations

import threading
from dataclasses import replace
from inspect import signature

import pytest

from casty.errors import StorageError
from casty.raft.types import HardState, Index, LogBase, Recovered, Term, Write
from casty.storage.api import Store
from casty.storage.files import FileStore
from casty.storage.memory import MemoryStore
from tests.storage.histories import SERVERS, account, append, command, commands, compact, hard_state, snapshot
from tests.storage.stores import Machine, found, loaded


def after(machine: Machine, *writes: Write) -> Recovered:
    """What is found when each write was one call and the process then ended."""
    store = loaded(machine)
    for write in writes:
        store.write([write])
    store.close()
    return found(machine)


def expected(machine: Machine, *writes: Write) -> Recovered:
    return account(*writes).recovered(found(machine).store_id)


@pytest.mark.parametrize("kind", [FileStore, MemoryStore])
def test_a_store_has_the_methods_of_the_contract(kind: type[FileStore | MemoryStore]) -> None:
    """STORE-2: with the parameters it names, and none more."""
    contract = {name: member for name, member in vars(Store).items() if not name.startswith("_")}
    assert sorted(contract) == ["close", "load", "revision", "save_snapshot", "write"]
    assert isinstance(vars(kind)["revision"], property)
    for name, method in contract.items():
        if name != "revision":
            assert signature(getattr(kind, name)) == signature(method)


def test_a_new_store_has_an_id_and_nothing_else(machine: Machine) -> None:
    """STORE-1: the id is drawn when the store is made, and found again."""
    store = machine.open()
    recovered = store.load()
    assert recovered == Recovered(recovered.store_id)
    assert len(recovered.store_id) == 16
    store.close()
    assert found(machine) == recovered


def test_hard_state_is_remembered_whole(machine: Machine) -> None:
    """STORE-2: the newest one, and only that."""
    old = Write(1, HardState(Term(1), SERVERS[0], SERVERS))
    new = Write(2, HardState(Term(2**64 - 1), None, SERVERS[:1]))
    assert after(machine, old, new).hard_state == new.hard_state
    assert after(machine, old).hard_state == old.hard_state


def test_entries_are_remembered_in_order(machine: Machine) -> None:
    """STORE-2."""
    writes = append(1, *commands(3)), append(4, *commands(2, 0)), append(6, command(bytes(2000)))
    assert after(machine, *writes) == expected(machine, *writes)
    assert len(found(machine).entries) == 6


def test_the_log_from_first_index_on_becomes_the_entries(machine: Machine) -> None:
    """STORE-2: an old suffix does not come back, were the new one shorter or empty."""
    writes = append(1, *commands(5)), append(3, command(b"new", 2))
    assert after(machine, *writes).entries == (*commands(2), command(b"new", 2))
    assert after(machine, append(2)).entries == commands(1)
    assert after(machine, append(1)).entries == ()
    assert after(machine, append(1, command(b"again", 3))).entries == (command(b"again", 3),)


def test_a_snapshot_replaces_what_it_covers_and_keeps_the_rest(machine: Machine) -> None:
    """STORE-2."""
    recovered = after(machine, append(1, *commands(5)), compact(3))
    assert recovered.snapshot == snapshot(3)
    assert recovered.entries == commands(5)[3:]


def test_a_snapshot_can_keep_a_part_of_what_it_covers(machine: Machine) -> None:
    """STORE-2: entries before its end stay, from one past the base on, and go with a later snapshot."""
    recovered = after(machine, append(1, *commands(5)), compact(4, base=2), append(6, command(b"sixth")))
    assert (recovered.snapshot, recovered.base) == (snapshot(4), LogBase(Index(2), Term(1)))
    assert recovered.entries == (*commands(5)[2:], command(b"sixth"))
    recovered = after(machine, compact(5, base=4))
    assert (recovered.base, recovered.entries) == (
        LogBase(Index(4), Term(1)),
        (commands(5)[4], command(b"sixth")),
    )


def test_a_snapshot_beyond_the_log_leaves_it_empty(machine: Machine) -> None:
    """STORE-2: and it goes on after the snapshot."""
    recovered = after(machine, append(1, *commands(5)), compact(9), append(10, command(b"tenth")))
    assert recovered.snapshot == snapshot(9)
    assert recovered.entries == (command(b"tenth"),)


def test_a_snapshot_can_replace_the_whole_log(machine: Machine) -> None:
    """STORE-2: where the log conflicts with it, the same write says that nothing stays."""
    recovered = after(machine, append(1, *commands(9)), replace(compact(3), first_index=Index(4)))
    assert recovered.snapshot == snapshot(3)
    assert recovered.entries == ()


def test_a_call_makes_all_its_writes_durable(machine: Machine) -> None:
    """STORE-2: in their order."""
    writes = [hard_state(1), append(1, *commands(3)), compact(2), append(3, command(b"y", 7)), hard_state(7)]
    store = loaded(machine)
    store.write([])
    store.write(writes)
    store.close()
    assert found(machine) == expected(machine, *writes)


def test_snapshots_supersede_each_other(machine: Machine) -> None:
    """STORE-13: the newest counts, of one call or of several."""
    store = loaded(machine)
    store.write([append(1, *commands(9)), compact(1, b"a"), compact(2, b"b")])
    store.write([compact(3, b"c")])
    store.write([compact(4, b"d", term=3)])
    store.close()
    assert found(machine).snapshot == snapshot(4, b"d", term=3)


def test_a_snapshot_that_was_saved_counts_only_once_it_is_written(machine: Machine) -> None:
    """STORE-13."""
    store = loaded(machine)
    store.write([append(1, *commands(5))])
    store.save_snapshot(snapshot(4, b"saved"))
    store.close()
    assert found(machine).snapshot is None
    store = loaded(machine)
    store.save_snapshot(snapshot(4, b"saved"))
    store.write([compact(4, b"saved")])
    store.close()
    assert found(machine).snapshot == snapshot(4, b"saved")


def test_a_snapshot_that_was_saved_never_replaces_the_one_in_use(machine: Machine) -> None:
    """STORE-13: were it of the same index and the same bytes."""
    store = loaded(machine)
    store.write([append(1, *commands(5)), compact(3, b"same")])
    store.save_snapshot(snapshot(3, b"same", term=2))
    store.close()
    assert found(machine).snapshot == snapshot(3, b"same")


def test_a_snapshot_can_be_saved_while_the_log_is_written(machine: Machine) -> None:
    """STORE-13: from another thread."""
    store = loaded(machine)
    store.write([append(1, *commands(50))])
    large = snapshot(20, b"large" * 500_000)
    saving = threading.Thread(target=store.save_snapshot, args=(large,))
    saving.start()
    writes = [append(index, command(b"%d" % index)) for index in range(51, 80)]
    for write in writes:
        store.write([write])
    saving.join()
    store.write([Write(0, snapshot=large)])
    store.close()
    assert found(machine) == expected(machine, append(1, *commands(50)), *writes, Write(0, snapshot=large))


@pytest.mark.parametrize(
    ("write", "text"),
    [
        (append(7, command()), "entries from 7; the log takes them from 3 to 6"),
        (append(2, command()), "entries from 2; the log takes them from 3 to 6"),
        (compact(2), "snapshot up to 2; one up to 2 is there"),
        (replace(compact(4), first_index=Index(4)), "entries from 4; the log takes them from 5 to 6"),
        (replace(compact(9), first_index=Index(11)), "entries from 11; the log takes them from 10 to 10"),
        (Write(0, entries=commands(2)), "2 entries without a first_index"),
        (compact(4, base=1), "log discarded up to 1; expected 2 to 4"),
        (compact(4, base=5), "log discarded up to 5; expected 2 to 4"),
        (compact(9, base=5), "log kept from 6, but it ends at 5, before the snapshot"),
        (Write(0, base=LogBase(Index(4), Term(1))), "log discarded up to 4 without a snapshot"),
    ],
)
def test_a_write_that_does_not_fit_is_refused(machine: Machine, write: Write, text: str) -> None:
    """STORE-2: with all the others of its call; the store goes on as if nothing had been asked of it."""
    before = [append(1, *commands(5)), compact(2)]
    store = loaded(machine)
    store.write(before)
    with pytest.raises(ValueError, match=f"^{text}$"):
        store.write([hard_state(5), write])
    store.write([append(6, command(b"sixth"))])
    store.close()
    assert found(machine) == expected(machine, *before, append(6, command(b"sixth")))


def test_a_failed_sync_is_final(machine: Machine) -> None:
    """STORE-11: nothing is tried again, and every later call says why it did nothing."""
    store = loaded(machine)
    store.write([append(1, *commands(2))])
    machine.fail_next_sync()
    with pytest.raises(StorageError):
        store.write([append(3, *commands(1))])
    for _ in range(2):
        with pytest.raises(StorageError, match="nothing was done; the store has stopped"):
            store.write([append(3, *commands(1))])
        with pytest.raises(StorageError, match="nothing was done; the store has stopped"):
            store.save_snapshot(snapshot(1))
    store.close()
    assert found(machine).entries[:2] == commands(2)


def test_a_closed_store_does_nothing(machine: Machine) -> None:
    """STORE-11: to close it again is no mistake."""
    store = loaded(machine)
    store.close()
    store.close()
    with pytest.raises(StorageError, match="the store is closed"):
        store.write([hard_state(1)])
    with pytest.raises(StorageError, match="the store is closed"):
        store.save_snapshot(snapshot(1))


def test_a_store_that_was_opened_can_be_closed_unread(machine: Machine) -> None:
    machine.open().close()
    assert found(machine).entries == ()


def test_a_record_may_be_larger_than_a_segment(machine: Machine) -> None:
    """STORE-10."""
    writes = append(1, command(b"a" * 9000)), append(2, command(b"b" * 9000)), append(3, command(b"c"))
    assert after(machine, *writes) == expected(machine, *writes)
