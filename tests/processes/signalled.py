"""The program `casty`, in which a signal comes at a moment that the first three arguments name.

They are the signal, an audit event of Python, and a word in what the event is about. Its own arguments follow.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from typing import Any

number, event, word = signal.Signals[sys.argv[1]], sys.argv[2], sys.argv[3]
sent: list[bool] = []


def watch(happens: str, about: tuple[Any, ...]) -> None:
    if not sent and happens == event and word in repr(about):
        sent.append(True)
        os.write(2, b"SENT\n")
        os.kill(os.getpid(), number)


sys.argv = ["casty", *sys.argv[4:]]
sys.addaudithook(watch)
runpy.run_module("casty", run_name="__main__", alter_sys=True)
