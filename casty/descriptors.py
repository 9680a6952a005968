"""Descriptors of this process alone: a child that it forks gives them up before any other code of it runs.

A fork copies every descriptor. So a lock on a directory, a listening port and a connection would outlive a node
that was killed, for as long as a child of it lives: its next start would be refused, and its peers would wait
for a node that is gone. The child therefore puts `/dev/null`, open for reading, in the place of each. It does
not just close them: objects that the fork copied, too, would close the same number again later, when it may be
another file's. The parent keeps all it has: nothing is unlocked, shut down or taken out of an epoll.

Programs that this process starts have none of these anyway, for no descriptor here is inheritable.
"""

from __future__ import annotations

import os
from threading import RLock

opening = RLock()
"""Held from before a descriptor is opened until it is claimed, so that no fork comes between. Only for calls
that do not block, for a fork waits for it."""

_claimed: dict[int, tuple[int, int]] = {}
"""The file that each descriptor was opened for: a number may have been closed, and given out again."""


def claim(descriptor: int) -> int:
    """Keeps the descriptor from children made by fork from here on; returns it."""
    _claimed[descriptor] = _file(descriptor)
    return descriptor


def release(descriptor: int) -> None:
    """To be called before a claimed descriptor is closed. A socket's need not be: each is another file."""
    _claimed.pop(descriptor, None)


def is_claimed(path: str | os.PathLike[str]) -> bool:
    """Whether this process has claimed a descriptor of the file at this path."""
    found = os.stat(path)
    return (found.st_dev, found.st_ino) in _claimed.values()


def _file(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


def _is_still(descriptor: int, file: tuple[int, int]) -> bool:
    try:
        return _file(descriptor) == file
    except OSError:
        return False


def _give_up() -> None:
    """In the child."""
    mine = [descriptor for descriptor, file in _claimed.items() if _is_still(descriptor, file)]
    _claimed.clear()
    try:
        _replace(mine)
    finally:
        opening.release()


def _replace(mine: list[int]) -> None:
    if not mine:
        return
    os.close(mine[0])  # for the child may have no other number left to open /dev/null with
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)
    except OSError:  # no such file here
        for descriptor in mine[1:]:
            os.close(descriptor)
        return
    for descriptor in mine:
        if descriptor != nothing:
            os.dup2(nothing, descriptor, inheritable=False)
    if nothing not in mine:
        os.close(nothing)


os.register_at_fork(before=opening.acquire, after_in_parent=opening.release, after_in_child=_give_up)
