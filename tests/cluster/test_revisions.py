"""What a node makes of what peers say of their directories (HELLO-11), by itself."""

from __future__ import annotations

import pytest

from casty.cluster.revisions import PEERS_MAX, REFUSED_MAX, Revisions
from casty.raft.events import LostData
from casty.raft.types import Boot, Index, NodeId, PeerRevision, ServerId, StoreId, Term
from casty.wire._protocol import BOOTS_MAX


def server(number: int, store: int = 0) -> ServerId:
    return ServerId(NodeId(f"n{number}"), StoreId(bytes([number, store]) * 8))


N2 = server(2)


def boot(name: str) -> bytes:
    return name.encode().rjust(16, b".")


def line(*starts: tuple[str, int]) -> tuple[Boot, ...]:
    """The boots of a directory as a hello lists them: newest first."""
    return tuple(Boot(boot(name), revision) for name, revision in starts)


def told(revision: int = 100, name: str = "x") -> Revisions:
    """A node that was told of n2's directory by its boot x."""
    revisions = Revisions()
    revisions.note(N2, revision, boot(name))
    return revisions


@pytest.mark.parametrize(
    ("revision", "boots", "flaw"),
    [
        (101, line(("y", 101), ("x", 7)), None),
        (900, line(("y", 101), ("x", 7)), None),
        (100, line(("y", 100), ("x", 7)), "its revision was 99 when it was started, and 100 before"),
        (900, line(("y", 52), ("x", 7)), "its revision was 51 when it was started, and 100 before"),
        (900, line(("z", 300), ("y", 52), ("x", 7)), "its revision was 51 when it was started, and 100 before"),
        (900, line(("z", 300), ("y", 101), ("x", 7)), None),
        (900, line(("y", 52), ("w", 1)), "it has never been that of boot 2e2e2e2e"),
        (101, (), None),
        (100, (), "its revision was 100 when it was started, and 100 before"),
        (None, (), None),
    ],
)
def test_a_boot_shows_that_it_has_what_was_said(
    revision: int | None, boots: tuple[Boot, ...], flaw: str | None
) -> None:
    """HELLO-11: by where the remembered boot ended in its line, whatever number the copy has come to since."""
    name = boots[0].boot_id if boots else boot("y")
    objection = told().objection(N2, name, revision, boots)
    assert (objection is None) is (flaw is None)
    assert objection is None or flaw is None or flaw in objection


def test_the_objection_names_the_remedy() -> None:
    """HELLO-11: the operator of the other node reads it."""
    text = told().objection(N2, boot("y"), 3) or ""
    assert text.startswith("the data directory of node n2 is an older copy: ")
    assert text.endswith("put the right directory back, or remove this one: then it comes back as a new server")


def test_the_same_boot_says_any_number() -> None:
    """HELLO-11: its hello may have left before a later word of it."""
    assert told().objection(N2, boot("x"), 3, line(("x", 3))) is None


def test_what_grows_out_of_a_refused_boot_is_refused() -> None:
    """HELLO-11: a process that is started again and again comes past any number."""
    revisions = told()
    boots = line(("y", 52), ("x", 7))
    for at in range(3 * BOOTS_MAX):
        revision = 52 + 100 * at
        assert revisions.objection(N2, boots[0].boot_id, revision, boots) is not None
        boots = (Boot(boot(f"y{at}"), revision + 50), *boots)[:BOOTS_MAX]
    right = line(("z", 101), ("x", 7))
    assert revisions.objection(N2, right[0].boot_id, 101, right) is None


def test_a_list_that_is_full_may_have_lost_the_boot_that_is_remembered() -> None:
    """HELLO-11: then the numbers decide; a node that was started often while this one was away is let in."""
    boots = tuple(Boot(boot(f"y{at}"), 500 - at) for at in range(BOOTS_MAX))
    assert told().objection(N2, boots[0].boot_id, 500, boots) is None
    assert told(500).objection(N2, boots[0].boot_id, 500, boots) is not None


def test_what_was_never_heard_of_is_let_in() -> None:
    """HELLO-11: another store of that node, too: it is another server."""
    assert Revisions().objection(N2, boot("y"), 0, line(("y", 0))) is None
    assert told().objection(server(2, store=1), boot("y"), 1, line(("y", 1))) is None


def test_a_boot_without_what_it_acknowledged_stays_out() -> None:
    """LEADER-10: with or without a revision, and what grows out of it; the text says what it lost."""
    revisions = Revisions()
    text = revisions.lose(LostData(N2, boot("y"), Index(7), Term(3)))
    assert "it acknowledged entry 7 to the leader of term 3, and does not have it" in text
    assert revisions.objection(N2, boot("y"), None) is not None
    assert revisions.objection(N2, boot("z"), 9, line(("z", 9), ("y", 3))) is not None
    assert revisions.objection(N2, boot("w"), 1, line(("w", 1))) is None
    assert revisions.objection(N2, boot("v"), None) is None


def test_the_right_directory_comes_back_after_a_boot_that_was_let_in_by_mistake() -> None:
    """LEADER-10, HELLO-11: what the older copy said when it was let in does not count against it."""
    revisions = told(100, "y")
    revisions.lose(LostData(N2, boot("y"), Index(7), Term(3)))
    right = line(("z", 80), ("x", 7))
    assert revisions.objection(N2, boot("z"), 80, right) is None
    revisions.note(N2, 81, boot("z"))
    assert revisions.objection(N2, boot("v"), 300, line(("v", 300), ("y", 90), ("x", 7))) is not None


def test_only_news_is_written() -> None:
    """HELLO-11: all that is known, once after each change of it."""
    revisions = told()
    known = PeerRevision(N2, 100, boot("x"))
    assert revisions.to_write() == (known,)
    revisions.note(N2, 99, boot("x"))
    assert revisions.to_write() is None
    assert revisions.objection(N2, boot("y"), 5, ()) is not None
    assert revisions.to_write() == (known._replace(refused=(boot("y"),)),)
    again = Revisions([known._replace(refused=(boot("y"),))])
    assert again.to_write() is None
    assert again.objection(N2, boot("y"), 900) is not None


def test_what_is_remembered_is_bounded() -> None:
    """HELLO-11: the members of the cluster stay, and so do the latest boots that were refused."""
    revisions = Revisions()
    revisions.keep([N2])
    revisions.note(N2, 100, boot("x"))
    for number in range(3, 3 + 2 * PEERS_MAX):
        revisions.note(server(number), 1, boot("x"))
    for at in range(REFUSED_MAX + 2):
        revisions.objection(N2, boot(f"y{at}"), 5)
    written = revisions.to_write() or ()
    assert len(written) == PEERS_MAX
    (mine,) = (peer for peer in written if peer.server == N2)
    assert mine.refused == tuple(boot(f"y{at}") for at in reversed(range(2, REFUSED_MAX + 2)))


def test_peers_are_told_once_of_each_revision() -> None:
    """PEER-11."""
    revisions = Revisions()
    assert [revisions.is_news(number) for number in (3, 3, 4, 4)] == [True, False, True, False]
