"""Formation, in every order that small bounds allow. Deeper: ``python -m tests.sim.exhaustive 3 1 1 1``."""

from __future__ import annotations

import pytest

from tests.sim.exhaustive import Bounds, Search


@pytest.mark.timeout(300)  # ten times what it takes: a loaded machine is no failure
@pytest.mark.parametrize(
    "bounds",
    [
        Bounds(size=2, timeouts=2, crashes=1, lost_disks=1, depth=13),
        Bounds(size=2, timeouts=2, doubles=1, depth=11),
        Bounds(size=2, timeouts=2, crashes=1, lost_disks=1, doubles=1, depth=10),
        Bounds(size=3, timeouts=1),
        Bounds(size=3, timeouts=2, depth=13),
    ],
    ids=str,
)
def test_no_order_of_events_forms_two_clusters(bounds: Bounds) -> None:
    search = Search(bounds)
    search.run()
    assert search.scenes > 1000
    assert search.founded > 100
