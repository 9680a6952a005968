"""The wire: bytes to frames, frames to messages, messages to values, and back. Pure: nothing here does I/O.

`frames` cuts the stream, `messages` reads what a frame says, `payload` what users put into it; `types` knows
which of their types are admitted. What the specification fixes in numbers and tables is in `_protocol`, made
from `spec/protocol.toml`.
"""

from typing import Final

from casty.wire import _protocol

VERSION: Final = _protocol.PROTOCOL_VERSION
"""The protocol's version, which a hello says first."""
