"""What some tests need of the machine, whether it is here, and how to get it.

`@pytest.mark.needs("tshark")` skips a test where tshark is missing. `python -m tests.needs` says what is
missing on this machine and fails if anything is; with `--debian` it prints the Debian packages that bring it,
and nothing else.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from functools import cache, partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, NamedTuple

from conformance.node import means

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

NODE_JS_MIN: Final = 20
"""The first version of Node.js that has all that the node in JavaScript uses."""
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""The names of Chromium, the first of which is run."""


class Need(NamedTuple):
    """Something that is not part of the project and its Python packages."""

    lacking: Callable[[], str]
    """Why it cannot be used here; empty if it can."""
    get: str
    """How a user gets it."""
    debian: tuple[str, ...] = ()
    """The Debian packages that bring it."""


def browser() -> str:
    """The command that runs Chromium; empty if there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), "")


@cache
def lacking(name: str) -> str:
    """Why this need of `NEEDS` is not met here; empty if it is."""
    return NEEDS[name].lacking()


def advice(reason: str) -> str:
    """How to get what a test was skipped for; empty if that was no need of `NEEDS`."""
    return next((need.get for name, need in NEEDS.items() if reason == lacking(name)), "")


def _program(name: str) -> str:
    return "" if shutil.which(name) else f"{name} is not installed"


def _package(name: str) -> str:
    return "" if find_spec(name) else f"the Python package {name} is not installed"


def _tool(name: str) -> str:
    """As the conformance suite judges it."""
    return means.missing(frozenset({name}))


def _browser() -> str:
    return "" if browser() else "Chromium is not installed"


def _node_js() -> str:
    if shutil.which("node") is None:
        return "Node.js is not installed"
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=30).stdout.strip()
    version = re.match(r"v(\d+)\.", said)
    if version is None or int(version[1]) < NODE_JS_MIN:
        return f"Node.js {NODE_JS_MIN} or newer is needed, this is {said or 'silent about its version'}"
    return ""


def _ipv6() -> str:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        return f"this machine has no IPv6 loopback address: {error.strerror or error}"
    return ""


def _loopback() -> str:
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.2", 0))
    except OSError as error:
        return f"this machine has no second loopback address, 127.0.0.2: {error.strerror or error}"
    return ""


def _proc() -> str:
    return "" if os.path.isdir("/proc/self") else "there is no /proc here, through which processes are found"


def _apt(*packages: str, brew: str = "") -> str:
    macos = f"; macOS: brew install {brew}" if brew else "; it exists on Linux only"
    return f"Debian and Ubuntu: apt-get install {' '.join(packages)}{macos}"


_OWN_ENVIRONMENT = "run the tests by ./tools/dev test, which installs it"

NEEDS: Final[dict[str, Need]] = {
    "tshark": Need(partial(_program, "tshark"), _apt("tshark", brew="wireshark"), ("tshark",)),
    "chromium": Need(_browser, _apt("chromium", brew="--cask chromium"), ("chromium",)),
    "strace": Need(
        partial(_tool, "strace"),
        f"{_apt('strace')}; in a container also the right to trace (--cap-add SYS_PTRACE)",
        ("strace",),
    ),
    "faketime": Need(partial(_tool, "faketime"), _apt("libfaketime"), ("libfaketime",)),
    "tmpfs": Need(
        partial(_tool, "tmpfs"),
        f"{_apt('util-linux', 'mount')}; in a container also the right to mount (--cap-add SYS_ADMIN)",
        ("util-linux", "mount"),
    ),
    "prlimit": Need(partial(_tool, "prlimit"), _apt("util-linux"), ("util-linux",)),
    "quickack": Need(partial(_tool, "quickack"), "run the tests on Linux"),
    "proc": Need(_proc, "run the tests on Linux"),
    "loopback": Need(_loopback, "macOS: sudo ifconfig lo0 alias 127.0.0.2 up"),
    "ipv6": Need(_ipv6, "allow IPv6 on the loopback interface (Linux: sysctl net.ipv6.conf.lo.disable_ipv6=0)"),
    "node.js": Need(_node_js, f"install Node.js {NODE_JS_MIN} or newer, or {_OWN_ENVIRONMENT}"),
    "mypy": Need(partial(_package, "mypy"), _OWN_ENVIRONMENT),
    "basedpyright": Need(partial(_package, "basedpyright"), _OWN_ENVIRONMENT),
}


def _packages(names: Iterable[str]) -> list[str]:
    return sorted({package for name in names for package in NEEDS[name].debian})


def main(arguments: Sequence[str]) -> int:
    """Says what is missing here; the exit status is 1 if anything is."""
    missing = [name for name in NEEDS if lacking(name)]
    if arguments == ["--debian"]:
        print(" ".join(_packages(missing)))
        return 0
    for name in missing:
        print(f"missing: {lacking(name)}\n    {NEEDS[name].get}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
