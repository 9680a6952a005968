from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.storage.simulated_disk import SimulatedDisk
from tests.storage.stores import SOMEWHERE, FailingDisk, MachineWithFiles, MachineWithMemory

if TYPE_CHECKING:
    from pathlib import Path

    from tests.storage.stores import Machine


@pytest.fixture(params=["files", "simulated files", "memory"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    """Every kind of store, so that each is held to what the others do."""
    match request.param:
        case "files":
            return MachineWithFiles(tmp_path / "store", FailingDisk())
        case "simulated files":
            return MachineWithFiles(SOMEWHERE, SimulatedDisk())
        case _:
            return MachineWithMemory()
