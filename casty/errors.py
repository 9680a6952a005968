"""Every exception Casty raises, each saying whose fault it is and whether the thing happened.

CastyError
├── ActorFailedError              the actor raised while it handled the message; part may be done
├── ActorUnavailableError         nobody there to answer
│   ├── ActorStoppedError         the actor stopped; a message not yet started surely did not run
│   ├── ActorNotFoundError        no actor has that name (also LookupError); surely did not happen
│   ├── NodeUnreachableError      its node is gone (also ConnectionError); it may have happened
│   └── MailboxFullError          its mailbox is full; surely did not happen
├── AskTimeoutError               no answer in time (also TimeoutError); it may still happen
├── ReentrancyError               an actor, or a callback, would wait for itself; surely did not happen
├── ActorStartError               `on_start` or the constructor raised; the actor never ran
├── NameTakenError                the name is in use on this node (also ValueError)
├── SystemStoppedError            the system is shut down; surely did not happen
├── SerializationError            a value cannot cross the wire (also TypeError); surely did not happen
│   └── UnknownTypeError          the receiver does not admit this type
├── MessageTooLargeError          larger than one frame (also ValueError); surely did not happen
├── ProtocolError                 the peer broke a rule of the specification (also ValueError)
├── HandshakeError                seeds and this node refuse each other, or its data is stale (ConnectionError)
├── OverloadedError               the leader has too much to do; surely not appended, try later
├── CommitUncertainError          a command may or may not be committed (also TimeoutError)
├── ApplyError                    committed, but the apply callback raised
└── StorageError                  the disk failed; this node's Raft is over (also OSError)
    └── UnusableStoreError        the data directory cannot be used as it is; nothing was changed
"""

from __future__ import annotations


class CastyError(Exception):
    """The base of everything Casty raises on purpose."""


class ActorFailedError(CastyError):
    """The actor raised while it handled the message; part of the work may have been done.

    `error_type` is the class name of what was raised, `message` its text, `node_id` the node it was raised
    on (None for a system without a cluster), `actor` the name or number of the actor, `message_type` the class
    name of what was asked. Where the actor lives in this process, `__cause__` is the original exception. The
    actor's fault, never the asker's.
    """

    def __init__(
        self,
        error_type: str,
        message: str,
        node_id: str | None = None,
        actor: str | None = None,
        message_type: str | None = None,
    ) -> None:
        self.error_type = error_type
        self.message = message
        self.node_id = node_id
        self.actor = actor
        self.message_type = message_type
        where = f" on node {node_id}" if node_id is not None else ""
        who = f" (actor {actor}, message {message_type})" if actor is not None else ""
        super().__init__(f"{error_type}: {message}{where}{who}")

    def __reduce__(self) -> tuple[type[ActorFailedError], tuple[str | None, ...]]:
        return type(self), (self.error_type, self.message, self.node_id, self.actor, self.message_type)


class ActorUnavailableError(CastyError):
    """There is nobody to answer. The subclasses say why, and whether the message may have been handled."""


class ActorStoppedError(ActorUnavailableError):
    """The actor has stopped. A message still queued surely did not run; one being handled may have."""


class ActorNotFoundError(ActorUnavailableError, LookupError):
    """No actor of that name was found. The message surely was not handled."""


class NodeUnreachableError(ActorUnavailableError, ConnectionError):
    """The actor's node is not connected. If the message had been sent already, it may have been handled."""


class MailboxFullError(ActorUnavailableError):
    """The actor's bounded mailbox is full. The message surely was not handled; try again later."""


class AskTimeoutError(CastyError, TimeoutError):
    """No answer came in time. The message may have been handled, or may still be."""


class ReentrancyError(CastyError):
    """An actor asked itself from its own `receive`, or a state machine's callback awaits what waits for it.

    That could only end in a timeout. Nothing was sent or appended.
    """


class ActorStartError(CastyError):
    """The actor's constructor or `on_start` raised (see `__cause__`). It never ran, and its name is free."""


class NameTakenError(CastyError, ValueError):
    """Another actor of this node has the name."""


class SystemStoppedError(CastyError):
    """The actor system has been shut down. Nothing was done."""


class SerializationError(CastyError, TypeError):
    """A value cannot be sent; the text names the path to it. The sender's fault; nothing was sent."""


class UnknownTypeError(SerializationError):
    """The receiving node does not admit the type of the message; the text says how to register it."""


class MessageTooLargeError(CastyError, ValueError):
    """The encoded message does not fit one frame. The sender's fault; nothing was sent."""


class ProtocolError(CastyError, ValueError):
    """A peer broke the specification. `code` and `rule` are those of the ERROR frame that answers it.

    The peer's fault: the connection it came on may end, the node goes on.
    """

    def __init__(self, code: str, rule: str, text: str) -> None:
        self.code = code
        self.rule = rule
        self.text = text
        super().__init__(f"{text} [{code}, {rule}]")

    def __reduce__(self) -> tuple[type[ProtocolError], tuple[str, str, str]]:
        return type(self), (self.code, self.rule, self.text)


class HandshakeError(CastyError, ConnectionError):
    """All seeds and this node refuse each other: another version, cluster or size, or a node id in use.

    Or a member says that this node's data directory is an older copy of what it was (STALE_DATA): then one is
    enough, and the text names the remedy.
    `wait_ready()` raises it; the text says why, peer by peer. The fault lies in what one of them was told.
    Nothing has ended: the node goes on dialling them, and `wait_ready()` may be called again.
    """


class OverloadedError(CastyError):
    """The leader has more commands to commit or to apply than it can in time. Nothing was appended; try
    later."""


class CommitUncertainError(CastyError, TimeoutError):
    """The command was appended, but this node cannot know whether it is or will be committed."""


class ApplyError(CastyError):
    """The command is committed, but the apply callback raised on it (see `__cause__`).

    Or nothing was called, for `skip_entries` names the entry.
    """


class StorageError(CastyError, OSError):
    """A write or an fsync failed. Raft on this node has stopped for good; nothing is retried."""


class UnusableStoreError(StorageError):
    """The data directory cannot be used: corrupt, in use, or another node's. Nothing in it was changed."""
