"""Typed actors that keep their word across machines, and a Raft that can be trusted.

Everything public is here: `from casty import Actor, ActorSystem, Context, DistributedActorSystem`.
"""

from casty.actor import Actor, ActorRef, Context, Envelope, Request
from casty.cluster.system import DistributedActorSystem
from casty.cluster.tls import TLS
from casty.dead_letters import DeadLetter
from casty.errors import (
    ActorFailedError,
    ActorNotFoundError,
    ActorStartError,
    ActorStoppedError,
    ActorUnavailableError,
    ApplyError,
    AskTimeoutError,
    CastyError,
    CommitUncertainError,
    HandshakeError,
    MailboxFullError,
    MessageTooLargeError,
    NameTakenError,
    NodeUnreachableError,
    OverloadedError,
    ProtocolError,
    ReentrancyError,
    SerializationError,
    StorageError,
    SystemStoppedError,
    UnknownTypeError,
    UnusableStoreError,
)
from casty.system import ActorSystem

__version__ = "0.1.0"

__all__ = [
    "TLS",
    "Actor",
    "ActorFailedError",
    "ActorNotFoundError",
    "ActorRef",
    "ActorStartError",
    "ActorStoppedError",
    "ActorSystem",
    "ActorUnavailableError",
    "ApplyError",
    "AskTimeoutError",
    "CastyError",
    "CommitUncertainError",
    "Context",
    "DeadLetter",
    "DistributedActorSystem",
    "Envelope",
    "HandshakeError",
    "MailboxFullError",
    "MessageTooLargeError",
    "NameTakenError",
    "NodeUnreachableError",
    "OverloadedError",
    "ProtocolError",
    "ReentrancyError",
    "Request",
    "SerializationError",
    "StorageError",
    "SystemStoppedError",
    "UnknownTypeError",
    "UnusableStoreError",
]
