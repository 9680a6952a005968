"""How nodes meet: hellos and peer lists."""

from __future__ import annotations

from typing import Any

from vectormaker.bytes import FALSE, TRUE, Value, array, binary, fields, text, uint
from vectormaker.vector import Group, valid

STORE = binary(bytes(range(16)))
BOOT = binary(bytes(range(16, 32)))
CLUSTER = binary(b"\xc1" * 16)


def hello_fields(**changes: Value | None) -> dict[str, Value]:
    """The fields of a hello, in the order of the table; None leaves one out."""
    said: dict[str, Value | None] = {
        "version": uint(1),
        "cluster": text("casty"),
        "cluster_id": None,
        "store_id": STORE,
        "boot_id": BOOT,
        "lane": text("raft"),
        "address": text("10.0.0.1:8001"),
        "expected_size": uint(3),
        "member": None,
        "revision": None,
        "boots": None,
    }
    return {name: value for name, value in (said | changes).items() if value is not None}


def hello(
    id: str, comment: str, *rules: str, name: str = "n1", canonical: bool = True, **changes: Value
) -> Any:
    said = fields(**hello_fields(**changes))
    return valid(id, 4, name, said, comment, *rules, canonical=canonical, form="hello")


MEETING = Group(
    "valid/meeting.json",
    "PEER_LIST: as hello, the first frame in each direction, and with peers, ever after",
    (
        hello("HELLO-FRESH", "A member that has no log yet", "HELLO-1"),
        hello("HELLO-MEMBER", "One whose log holds the cluster's id", "HELLO-1", cluster_id=CLUSTER),
        hello("HELLO-ACTOR-LANE", "The second connection of a pair", "PEER-7", lane=text("actor")),
        hello("HELLO-ALL-LANES", "A minimal node dials one for everything", "PEER-7", lane=text("all")),
        hello("HELLO-CLIENT", "A client takes no part in Raft", "HELLO-4", member=FALSE),
        hello("HELLO-MEMBER-SAID", "member true may be said", "PAYLOAD-7", member=TRUE, canonical=False),
        hello("HELLO-IPV6", "An IPv6 address goes in brackets", "HELLO-1", address=text("[::1]:8001")),
        hello(
            "HELLO-WILDCARD",
            "The host is where the connection came from",
            "PEER-4",
            address=text("0.0.0.0:8001"),
        ),
        hello("HELLO-LONGEST-ID", "64 bytes, every kind of character", "HELLO-5", name="aZ09._:-" * 8),
        hello("HELLO-UNKNOWN-FIELD", "From a later version", "PAYLOAD-1", zone=text("eu"), canonical=False),
        hello("HELLO-EMPTY-CLUSTER", "A name is any str", "HELLO-4", cluster=text("")),
        hello(
            "HELLO-REVISION",
            "A member with a data directory, which has come so far",
            "HELLO-10",
            revision=uint(4711),
        ),
        hello(
            "HELLO-BOOTS",
            "And the starts of its processes, newest first, each with the revision it began with",
            "HELLO-10",
            revision=uint(4711),
            boots=array(array(BOOT, uint(4711)), array(binary(b"\xb0" * 16), uint(12))),
        ),
        hello(
            "HELLO-REVISION-LARGEST",
            "The largest number, and a list of boots that says nothing",
            "HELLO-10",
            revision=uint(2**63 - 1),
            boots=array(),
            canonical=False,
        ),
        hello(
            "HELLO-BOOTS-MANY",
            "More than boots_max: well-formed; the receiver looks at the first of them",
            "HELLO-10",
            revision=uint(40),
            boots=array(*(array(binary(bytes([at]) * 16), uint(40 - at)) for at in range(40))),
        ),
        valid(
            "PEERS-REVISION",
            4,
            "n1",
            fields(peers=array(), revision=uint(4712)),
            "How far the sender's data directory has come by now",
            "PEER-11",
        ),
        valid("PEERS-NONE", 4, "n1", fields(peers=array()), "Nobody but me", "PEER-1"),
        valid(
            "PEERS-TWO",
            4,
            "n1",
            fields(
                peers=array(
                    array(text("n2"), text("10.0.0.2:8001")),
                    array(text("n3"), text("[2001:db8::3]:8001")),
                )
            ),
            "Two nodes and where to dial them",
            "PEER-1",
        ),
        valid(
            "PEERS-NONSENSE",
            4,
            "n1",
            fields(peers=array(array(text("../n2"), text("nowhere")), array(text(""), text("")))),
            "Addresses and ids that make no sense are well-formed; the receiver skips them",
            "PEER-5",
        ),
        valid(
            "PEERS-ARRAY32",
            4,
            "n1",
            fields(peers=array(array(text("n2"), text("h:1"), width=4), width=4)),
            "Arrays in the longest format",
            "PAYLOAD-7",
            canonical=False,
        ),
    ),
)
