"""What a peer of the suite shows under TLS, and whom it believes; the files are described beside them."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parents[1] / "certificates"


def environment(name: str, *, check_node_id: bool = False) -> dict[str, str]:
    """The variables by which a node under test is given that certificate (LAUNCH-7)."""
    own = str(FOLDER / f"{name}.pem")
    files = {"CF_TLS_CERT": own, "CF_TLS_KEY": own, "CF_TLS_CA": str(FOLDER / "authority.pem")}
    return files | ({"CF_TLS_CHECK_NODE_ID": "1"} if check_node_id else {})


def certificate(name: str) -> bytes:
    """The certificate of that file, as it is shown in a handshake."""
    pem = (FOLDER / f"{name}.pem").read_text(encoding="ascii")
    return ssl.PEM_cert_to_DER_cert(pem[: pem.index(ssl.PEM_FOOTER)] + ssl.PEM_FOOTER)


@dataclass(frozen=True, slots=True)
class Credentials:
    """The certificate of that file, or none. Of the node it dials it demands one of the authority; of the node
    that dials it, that one it may show is."""

    name: str | None

    def dialling(self) -> ssl.SSLContext:
        """For connections to the node."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # which loopback address it listens on is the node's affair
        self._load(context)
        return context

    def listening(self) -> ssl.SSLContext:
        """For the node's connections."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_OPTIONAL
        self._load(context)
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        context.load_verify_locations(FOLDER / "authority.pem")
        if self.name is not None:
            context.load_cert_chain(FOLDER / f"{self.name}.pem")
