"""Every block of Python in the README and the guide runs, and prints what the page says it prints."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

import casty
from casty import ActorSystem, DistributedActorSystem
from casty.cluster.skips import name_of
from casty.raft.events import Proposed
from casty.raft.types import Index

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
GUIDE = (ROOT / "spec" / "guide.md").read_text()

BLOCK = re.compile(r"(?:<!-- test: (\w+) -->\n)?```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)


def blocks(page: str) -> dict[str, tuple[str, str]]:
    """The page's code by marker, each with the output the page shows for it."""
    return {name: (code, output) for name, code, output in BLOCK.findall(page)}


def namespace(code: str, **more: object) -> dict[str, Any]:
    """What a block defines, given the public names and the imports any program has."""
    module = sys.modules["casty_docs"] = ModuleType("casty_docs")  # where messages say they come from
    names: dict[str, Any] = vars(module)
    names |= {name: getattr(casty, name) for name in casty.__all__}
    names |= {"Any": Any, "UUID": UUID, "asyncio": asyncio, "dataclass": dataclass, "date": date, "json": json}
    program = code.replace("asyncio.run(main())", "")
    exec(compile(program, "<docs>", "exec", dont_inherit=True), names)
    names |= more
    return names


def loopback(*args: Any, **options: Any) -> DistributedActorSystem:
    """A node of one where the page says three, quick to elect, at an address of this machine."""
    _, _, *seeds = args
    quick: dict[str, Any] = {"heartbeat_interval": 0.02, "election_timeout": 0.05} | options
    quick["expected_cluster_size"] = 1
    return DistributedActorSystem("127.0.0.1", 0, [s for s in seeds[0] if s.startswith("127.")], **quick)


@pytest.mark.parametrize("page", ["README.md", "spec/guide.md"])
def test_every_block_has_a_test(page: str) -> None:
    """A block without a marker would be a block nobody runs."""
    tested = {"README.md": README_TESTS, "spec/guide.md": GUIDE_TESTS}[page]
    found = BLOCK.findall((ROOT / page).read_text())
    assert sorted(name for name, _, _ in found) == sorted(tested)


def test_the_readme_is_short() -> None:
    """Under 900 words: the rest is in the pages it links to."""
    assert len(README.split()) < 900


def test_every_link_leads_somewhere() -> None:
    """Files exist, and so do the anchors in them."""
    missing: list[str] = []
    for page in [ROOT / "README.md", *(ROOT / "spec").glob("*.md"), ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
            path, _, anchor = target.partition("#")
            file = page.parent / path if path else page
            if not file.exists() or (anchor and file.suffix == ".md" and not has_anchor(file, anchor)):
                missing.append(f"{page.relative_to(ROOT)}: {target}")
    assert missing == []


def has_anchor(file: Path, anchor: str) -> bool:
    text = file.read_text()
    titles = [
        re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()) for line in text.splitlines() if line[:1] == "#"
    ]
    return anchor in [title.replace(" ", "-") for title in titles] or f'id="{anchor}"' in text


def test_the_readme_s_first_program_prints_what_it_says() -> None:
    """As a script of its own, the way a reader would run it."""
    code, output = blocks(README)["run"]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False, cwd=ROOT
    )
    assert (done.stdout, done.stderr) == (output, "")


def test_the_checker_says_what_the_readme_says(tmp_path: Path) -> None:
    """The wrong message is found before the program runs, in these words."""
    program, _ = blocks(README)["run"]
    wrong, complaint = blocks(README)["check"]
    script = tmp_path / "program.py"
    script.write_text(program.replace("asyncio.run(main())", "") + wrong)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
    )
    assert complaint.strip() in done.stdout


async def test_the_readme_s_cluster_counts(capsys: pytest.CaptureFixture[str]) -> None:
    """An actor spawned on one node, found from another."""
    program, _ = blocks(README)["run"]
    here: dict[str, DistributedActorSystem] = {}

    def node(host: str, port: int, seeds: list[str], expected_cluster_size: int) -> DistributedActorSystem:
        known = [str(here["10.0.0.1"].listen)] if here else []
        here[host] = DistributedActorSystem("127.0.0.1", 0, known, expected_cluster_size, node_id=host)
        return here[host]

    names = namespace(program + blocks(README)["cluster"][0], DistributedActorSystem=node)
    async with DistributedActorSystem("127.0.0.1", 0, [], 3, node_id="10.0.0.1") as first:
        here["10.0.0.1"] = first
        await first.spawn(names["Counter"], name="counter", start=1)
        await names["run_node"]("10.0.0.2", ["10.0.0.1:8001"])
    assert capsys.readouterr().out == "2\n"


async def test_the_readme_s_log_commits_and_is_there_after_a_restart(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`append_command` is True, and the callback has been called; the next run finds what this one left."""
    code, output = blocks(README)["log"]
    names = namespace(code, DistributedActorSystem=loopback)
    first, *rest = output.splitlines(keepends=True)
    for found in ("{}", "{'x': 42}", "{'x': 42}"):
        state: dict[str, int] = {}
        await names["replicated"](state, str(tmp_path))
        assert state == {"x": 42}
        assert capsys.readouterr().out == "".join([first.replace("{}", found), *rest])


class Together(DistributedActorSystem):
    """One node of three that leave their blocks together, so that the first takes no majority away."""

    def __init__(self, group: list[Together], **options: Any) -> None:
        seeds = [str(group[0].listen)] if group else []
        quick: dict[str, Any] = {"heartbeat_interval": 0.05, "election_timeout": 1.0}
        super().__init__("127.0.0.1", 0, seeds, 3, **{**options, "node_id": f"node-{len(group) + 1}"}, **quick)
        self.is_done = asyncio.Event()
        self._group = group
        group.append(self)

    async def __aexit__(self, *error: Any) -> None:
        self.is_done.set()
        await asyncio.gather(*(each.is_done.wait() for each in self._group))
        await super().__aexit__(*error)


async def run_on_three(directory: Path) -> list[dict[str, int]]:
    """Runs the README's program on three nodes at once; what each has for its state."""
    group: list[Together] = []
    names = namespace(
        blocks(README)["log"][0],
        DistributedActorSystem=lambda host, port, seeds, **options: Together(group, **options),
    )
    states: list[dict[str, int]] = [{} for _ in range(3)]
    running: list[asyncio.Task[None]] = []
    async with asyncio.timeout(20):
        for number, state in enumerate(states):
            program = names["replicated"](state, str(directory / f"node-{number}"))
            running.append(asyncio.create_task(program))
            while len(group) == number or not group[number].listen.port:
                await asyncio.sleep(0.002)
        await asyncio.gather(*running)
    return states


async def test_the_readme_s_log_is_that_of_three_nodes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The same program on each of them, all stopped and started again; one of them leads."""
    await run_on_three(tmp_path)
    assert capsys.readouterr().out.count("committed: on the disks of a majority") == 1
    assert await run_on_three(tmp_path) == [{"x": 42}] * 3
    out = capsys.readouterr().out
    assert out.count("found {'x': 42}") == 3
    assert out.count("committed: on the disks of a majority") == 1


async def guide_actors() -> None:
    names = namespace(blocks(GUIDE)["actors"][0])
    async with ActorSystem() as system:
        assert await names["use_account"](system) == 30


async def guide_children() -> None:
    names = namespace(blocks(GUIDE)["children"][0])
    async with ActorSystem() as system:
        supervisor = await system.spawn(names["Supervisor"], name="supervisor")
        for _ in range(3):
            await supervisor.send("break")
            while not await says_hello(supervisor):
                pass


async def says_hello(supervisor: casty.ActorRef[Any]) -> bool:
    """Whether the worker answers; until the supervisor has heard of its end, it does not."""
    try:
        return bool(await supervisor.ask("hello") == "HELLO")
    except casty.ActorFailedError as error:
        if error.error_type not in ("ActorStoppedError", "ActorUnavailableError"):
            raise
        return False


@pytest.mark.parametrize("failures", [1, 3, 4, 5, 1000])
@pytest.mark.parametrize("at_first", [True, False])
async def test_the_guide_s_supervisor_survives_a_worker_that_does_not_start(
    failures: int, at_first: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Five attempts, whether it is the first start or a later one; after them it fails itself."""
    names = namespace(blocks(GUIDE)["children"][0])
    starts: list[int] = []
    stopped = asyncio.Event()

    async def on_start(worker: Any) -> None:
        starts.append(len(starts))
        if not at_first and len(starts) == 1:
            return
        if len(starts) <= failures + (not at_first):
            raise OSError("not yet")

    async def on_stop(supervisor: Any) -> None:
        stopped.set()

    names["Worker"] = type("Flaky", (names["Worker"],), {"on_start": on_start})
    quick: Any = type("Quick", (names["Supervisor"],), {"on_stop": on_stop, "pause": 0.0001})
    async with ActorSystem() as system:
        supervisor = await system.spawn(quick, name="supervisor")
        if not at_first:
            assert await says_hello(supervisor)
            await supervisor.send("break")
        if failures < 5:
            while not await says_hello(supervisor):
                pass
            assert len(starts) == failures + 1 + (not at_first)
            assert not stopped.is_set()
        else:
            await stopped.wait()
            assert len(starts) == 5 + (not at_first)
            with pytest.raises(casty.ActorStoppedError):
                await supervisor.ask("hello")
    errors = [record.getMessage() for record in caplog.records if "supervisor ended" in record.getMessage()]
    assert len(errors) == (failures >= 5)


async def guide_node() -> None:
    names = namespace(blocks(GUIDE)["node"][0], DistributedActorSystem=loopback)
    system = await names["start_node"]([], "node-1", None)
    async with system:
        assert system.node_id == "node-1"


async def guide_register() -> None:
    names = namespace(blocks(GUIDE)["register"][0])
    async with loopback("", 0, []) as system:
        names["admit"](system)
        order = names["Order"](UUID(int=1), ("tea",), date(2026, 1, 1))
        assert system.values.decode(system.values.encode(order)) == order


async def guide_log() -> None:
    names = namespace(blocks(GUIDE)["log"][0])
    async with loopback("", 0, []) as system:
        state: dict[str, Any] = {}
        assert await names["replicate"](system, state) == "committed, and applied here"
        assert state == {"x": 42}


async def guide_snapshot() -> None:
    replicate = namespace(blocks(GUIDE)["log"][0])["replicate"]
    names = namespace(blocks(GUIDE)["snapshot"][0])
    async with loopback("", 0, []) as system:
        state: dict[str, Any] = {}
        await replicate(system, state)
        assert await names["compact"](system, state) is True


async def guide_skip() -> None:
    names = namespace(blocks(GUIDE)["skip"][0], DistributedActorSystem=loopback)
    applied: list[Any] = []
    with tempfile.TemporaryDirectory() as directory:
        async with loopback("", 0, [], persistence_dir=directory) as system:
            await system.wait_ready()
            outcome: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            system.post(Proposed(outcome, b"\xc1"))
            assert await outcome
            assert system.raft is not None
            index = Index(system.commit_index)
            entry = name_of(index, system.raft.log.entry(index))
        async with names["without_one_entry"]([], directory, entry) as system:
            await system.wait_ready()
            system.set_apply_callback(applied.append)
            assert await system.append_command("on", timeout=None)
    assert applied == ["on"]


async def guide_tls() -> None:
    names = namespace(blocks(GUIDE)["tls"][0])
    system = names["secured"]("127.0.0.1", [])
    assert system.tls.cert.name == "node.pem"


README_TESTS = {"run", "check", "cluster", "log"}
GUIDE_TESTS: dict[str, Callable[[], Awaitable[None]]] = {
    "actors": guide_actors,
    "children": guide_children,
    "node": guide_node,
    "register": guide_register,
    "log": guide_log,
    "snapshot": guide_snapshot,
    "skip": guide_skip,
    "tls": guide_tls,
}


@pytest.mark.parametrize("name", GUIDE_TESTS)
async def test_the_guide_s_code_does_what_the_guide_says(name: str) -> None:
    """Each block is executed and used."""
    async with asyncio.timeout(20):
        await GUIDE_TESTS[name]()
