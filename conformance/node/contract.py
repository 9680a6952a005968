"""The launch contract: from what the suite wants to a command line and an environment, and back from READY
(LAUNCH-1, -2)."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from conformance.verdict import Unmet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_PLACEHOLDER: Final = re.compile(
    r"\{(config|node_id|data_dir|advertise|seeds|n|heartbeat_ms|election_ms|seed)\}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What a node is started with; every field has a placeholder, an environment variable and a key in the
    file."""

    node_id: str
    data_dir: str
    advertise: str = ""
    seeds: tuple[str, ...] = ()
    n: int = 3
    heartbeat_ms: int = 100
    election_ms: int = 400
    seed: int = 0
    snapshot_every: int = 0
    kept_entries: int = 0
    cluster: str = "casty"
    caps: tuple[str, ...] = ()

    def command(self, template: Sequence[str], config: Path) -> list[str]:
        """`template` with its placeholders replaced; other braces stay as they are."""
        values = self._texts() | {"config": str(config)}
        return [_PLACEHOLDER.sub(lambda match: values[match[1]], word) for word in template]

    def environment(self, config: Path, extra: Mapping[str, str]) -> dict[str, str]:
        """The suite's environment with the `CF_` variables, and nothing left over from another launch."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CF_")}
        ours = {f"CF_{name.upper()}": value for name, value in self._texts().items()}
        ours |= {
            "CF_CONFIG": str(config),
            "CF_EXIT_ON_EOF": "1",
            "CF_SNAPSHOT_EVERY": str(self.snapshot_every),
            "CF_KEPT_ENTRIES": str(self.kept_entries),
            "CF_CLUSTER": self.cluster,
            "CF_CAPS": ",".join(self.caps),
        }
        return inherited | ours | dict(extra)

    def write(self, config: Path) -> None:
        """The same as one JSON object."""
        fields = asdict(self) | {"seeds": list(self.seeds), "caps": list(self.caps)}
        config.write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")

    def _texts(self) -> dict[str, str]:
        return {
            "node_id": self.node_id,
            "data_dir": self.data_dir,
            "advertise": self.advertise,
            "seeds": ",".join(self.seeds),
            "n": str(self.n),
            "heartbeat_ms": str(self.heartbeat_ms),
            "election_ms": str(self.election_ms),
            "seed": str(self.seed),
        }


@dataclass(frozen=True, slots=True)
class Description:
    """What an implementation says of itself, by READY or by `--describe`."""

    impl: str
    protocol: int
    caps: frozenset[str]
    listen: str = ""
    node_id: str = ""


def read_ready(line: str) -> Description:
    """The READY line. Raises `Unmet`, the node's fault, where it is not as LAUNCH-2 says."""
    word, _, rest = line.strip().partition(" ")
    expected = 'one line "READY {listen, node_id, protocol, impl, caps}" (LAUNCH-2)'
    if word != "READY":
        raise Unmet(expected, repr(line[:200]))
    fields = _object(rest, expected)
    described = _describe(fields, expected)
    listen, node_id = fields.get("listen"), fields.get("node_id")
    if not isinstance(listen, str) or re.fullmatch(r"(127\.\d+\.\d+\.\d+|\[::1\]):\d{1,5}", listen) is None:
        raise Unmet("listen to be a loopback host:port (LAUNCH-2)", repr(listen))
    if not isinstance(node_id, str):
        raise Unmet("node_id to be a text (LAUNCH-2)", repr(node_id))
    return Description(described.impl, described.protocol, described.caps, listen, node_id)


def read_description(text: str) -> Description:
    """What `--describe` printed (LAUNCH-5). Raises `Unmet` as `read_ready` does."""
    expected = "one JSON object with impl, protocol and caps"
    return _describe(_object(text, expected), expected)


def _object(text: str, expected: str) -> dict[str, Any]:
    try:
        fields: Any = json.loads(text)
    except ValueError:
        raise Unmet(expected, repr(text[:200])) from None
    if not isinstance(fields, dict):
        raise Unmet(expected, repr(text[:200]))
    return fields  # pyright: ignore[reportUnknownVariableType] -- any object: its keys are read one by one


def _describe(fields: dict[str, Any], expected: str) -> Description:
    impl, protocol, caps = fields.get("impl"), fields.get("protocol"), fields.get("caps")
    if not isinstance(impl, str) or not isinstance(protocol, int) or not isinstance(caps, list):
        raise Unmet(expected, json.dumps(fields)[:200])
    return Description(impl, protocol, frozenset(map(str, caps)))  # pyright: ignore[reportUnknownArgumentType]
