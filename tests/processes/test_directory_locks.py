"""One directory, one process: at once free when its holder is dead, and never while it lives."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.processes.nodes import ALONE, kv, node

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]


async def test_the_lock_of_a_killed_process_holds_up_nobody(tmp_path: Path) -> None:
    """PERSIST-5: the kernel lets go of it, whatever the file still says; and what was acknowledged is there."""
    async with node(tmp_path, *ALONE) as killed:
        await killed.ready()
        peer = await killed.connect()
        await peer.greet()
        assert (await kv(peer, 1, op="put", key="a", value=1))["ok"]
        killed.signal(signal.SIGKILL)
        assert await killed.ended() == -signal.SIGKILL
        peer.close()
        assert (tmp_path / "n1" / "lock").read_text().strip() == str(killed.pid)
        async with node(tmp_path, *ALONE) as next_one:
            await next_one.ready()
            peer = await next_one.connect()
            await peer.greet()
            assert (await kv(peer, 1, op="get", key="a"))["value"] == 1
            peer.close()


async def test_a_second_process_on_a_directory_that_is_in_use_is_refused(tmp_path: Path) -> None:
    """PERSIST-5: exit status 78 and one line that names directory and holder, whom it does not disturb."""
    async with node(tmp_path, *ALONE) as holder:
        await holder.ready()
        (tmp_path / "second").mkdir()
        (tmp_path / "second" / "n1").symlink_to(tmp_path / "n1")
        async with node(tmp_path / "second", *ALONE, "--log-level", "error") as second:
            assert await second.ended() == 78
            assert await second.line() == ""
        place = tmp_path / "second" / "n1"
        said = f"casty node: {place}: in use by process {holder.pid}; expected no other\n"
        assert second.log == said
        peer = await holder.connect()
        await peer.greet()
        assert (await kv(peer, 1, op="put", key="a", value=1))["ok"]
        peer.close()
        holder.signal(signal.SIGTERM)
        assert await holder.ended() == 0
    async with node(tmp_path, *ALONE) as free_again:
        await free_again.ready()
