"""The `Context` that `receive` is handed: one message's way to whoever asked, and to its actor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from casty.actor import Context

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from casty.actor import Actor, ActorRef, Asker
    from casty.cell import Cell
    from casty.system import ActorSystem


class MessageContext(Context[Any]):
    """Bound to one asker, so that a reply finds it even when it comes late and from another task.

    Messages that nobody asked share their actor's own context, for nothing would tell theirs apart.
    """

    __slots__ = ("_asker", "_cell", "_has_replied")

    def __init__(self, cell: Cell, asker: Asker | None) -> None:
        self._cell = cell
        self._asker = asker
        self._has_replied = False

    @property
    def self_ref(self) -> ActorRef[Any]:
        return self._cell.ref

    @property
    def system(self) -> ActorSystem:
        return self._cell.registry.system

    def reply(self, value: object) -> None:
        asker = self._asker
        if asker is None:
            return
        if not asker.done():
            self._has_replied = True
            asker.reply(value)
        else:
            self._cell.registry.note_unwanted_reply(self._cell, is_second=self._has_replied)

    async def spawn(
        self, actor: Callable[..., Actor[Any]], /, *, name: str | None = None, **kwargs: Any
    ) -> ActorRef[Any]:
        return await self._cell.spawn(actor, name, kwargs)

    def stop(self) -> None:
        self._cell.close(drain=False)

    def send_after(self, delay: float, msg: Any) -> asyncio.TimerHandle:
        return self._cell.send_after(delay, msg)
