"""The chat room of the demonstration: an ordinary actor, found by name from any node."""

from __future__ import annotations

from dataclasses import dataclass

from casty.actor import Actor, Context, Request


@dataclass(frozen=True)
class Join:
    username: str


@dataclass(frozen=True)
class Message:
    username: str
    content: str


@dataclass(frozen=True)
class GetUsers(Request[list[str]]):
    pass


@dataclass(frozen=True)
class GetHistory(Request[list[str]]):
    pass


class ChatRoom(Actor[Join | Message | GetUsers | GetHistory]):
    """Remembers who joined and what was said."""

    def __init__(self, room_name: str) -> None:
        self.room_name = room_name
        self.users: set[str] = set()
        self.history: list[str] = []

    async def receive(
        self, msg: Join | Message | GetUsers | GetHistory, ctx: Context[Join | Message | GetUsers | GetHistory]
    ) -> None:
        match msg:
            case Join(username):
                self.users.add(username)
            case Message(username, content):
                self.history.append(f"{username}: {content}")
            case GetUsers():
                ctx.reply(sorted(self.users))
            case GetHistory():
                ctx.reply(self.history)
