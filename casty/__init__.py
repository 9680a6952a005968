"""Typed actors that keep their word across machines, and a Raft that can be trusted.

Everything public is here: `from casty import Actor, ActorSystem, Context, DistributedActorSystem`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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


if not TYPE_CHECKING:  # a type checker shall know which names there are
    _MODULES = ("errors", "actor", "dead_letters", "system", "cluster.tls", "cluster.system")
    """Where the public names are defined, what loads fast first."""

    def __getattr__(name):
        """Loads a public name when it is first used: a program can be told to end before all is loaded."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        modules = (importlib.import_module(f"{__name__}.{module}") for module in _MODULES)
        found = globals()[name] = next(vars(module)[name] for module in modules if name in vars(module))
        return found

    def __dir__():
        return sorted({*globals(), *__all__})
