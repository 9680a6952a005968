"""Which slice a frame is for, and what becomes of those that are for none."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from casty.errors import ProtocolError
from casty.wire import _protocol as p
from casty.wire.messages import AskResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from casty.cluster.link import Link
    from casty.wire.frames import Frame
    from casty.wire.messages import MessageCodec

logger = logging.getLogger(__name__)

type Handler = Callable[[Link, Any], None]

NODE_NAMED = frozenset(
    {
        p.PEER_LIST,
        p.VOTE_REQUEST,
        p.VOTE_RESPONSE,
        p.APPEND_ENTRIES_REQ,
        p.APPEND_ENTRIES_RES,
        p.INSTALL_SNAPSHOT_REQ,
        p.INSTALL_SNAPSHOT_RES,
        p.PRE_VOTE_REQUEST,
        p.PRE_VOTE_RESPONSE,
    }
)
"""Types whose frame name is their sender's node id (spec HELLO-8)."""

KEEPS_CONNECTION = frozenset({"BAD_PAYLOAD"})
"""Faults of a single frame, after which the next one is read all the same."""


class Switchboard:
    """Connects each frame to its handler, once its sender has been accepted."""

    def __init__(
        self,
        wire: MessageCodec,
        handlers: Mapping[int, Handler],
        note: Callable[[Link, ProtocolError, str], None],
    ) -> None:
        self._wire = wire
        self._handlers = handlers
        self._note = note

    def put_through(self, link: Link, frame: Frame) -> None:
        """Has the frame handled, or complains of it. Raises ProtocolError where the connection is to end."""
        handler = self._handlers.get(frame.type)
        if handler is None:
            self._skip(link, frame.type)
            return
        try:
            if frame.type in NODE_NAMED and frame.name != link.node_id:
                text = f"a frame of {frame.name!r:.80} on the connection of {link.node_id}"
                raise ProtocolError("IDENTITY_CHANGED", "HELLO-8", text)
            handler(link, self._wire.decode(frame))
        except ProtocolError as fault:
            if fault.code not in KEEPS_CONNECTION:
                raise
            self._complain(link, fault, about=fault.rule, silently=frame.type == p.ERROR)
            if fault.rule == "PAYLOAD-6":
                self._answer_ask(link, frame, fault)

    def _answer_ask(self, link: Link, frame: Frame, fault: ProtocolError) -> None:
        """An ask whose message is too deep is an ask all the same: nobody is to wait for it (spec MSG-3)."""
        number = self._wire.ask_id(frame)
        if number is not None:
            response = AskResponse(number, code="BAD_MESSAGE", error_type="SerializationError", text=fault.text)
            link.send(self._wire.encode(response))

    def _skip(self, link: Link, kind: int) -> None:
        """A type this version does not know: said once, and read over (spec FRAME-6, FRAME-7)."""
        about = f"type {kind}"
        if kind != p.HEARTBEAT and about not in link.complaints:
            self._complain(link, ProtocolError("UNKNOWN_FRAME_TYPE", "FRAME-6", f"frame type {kind}"), about)

    def _complain(self, link: Link, fault: ProtocolError, about: str, *, silently: bool = False) -> None:
        """Answers with ERROR, or with nothing to one of those (spec ERROR-1).

        The log has one line of each kind, however often a peer makes the mistake.
        """
        if about not in link.complaints:
            link.complaints.add(about)
            self._note(link, fault, about)
        else:
            logger.debug("node %s: %s", link.node_id, fault)
        if not silently:
            link.send(self._wire.encode_error(fault))
