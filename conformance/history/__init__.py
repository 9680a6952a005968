"""Did the clients see one dictionary? Operations, who makes them, and the check that some order explains them
all.

`Operation` is what one client asked and learned; `Client` and `run_workload` make them against real nodes;
`check` judges them; `timeline` shows them to people. Nothing here imports pytest."""

from __future__ import annotations

from conformance.history.checker import Result, Verdict, check
from conformance.history.operation import Operation, read_history, write_history

__all__ = ["Operation", "Result", "Verdict", "check", "read_history", "write_history"]
