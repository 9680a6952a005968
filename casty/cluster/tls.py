"""TLS between nodes, both sides with certificates, from plain files."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from casty.arguments import checked_flag
from casty.paths import absolute

if TYPE_CHECKING:
    import os


@dataclass(frozen=True, slots=True)
class TLS:
    """Which files prove who this node is, and whom it believes.

    `cert` and `key` are PEM files of this node (`cert` may hold the chain, the key is not encrypted), `ca` the
    PEM file of the authority that signs all nodes'. Each side demands a certificate of the other.
    `check_hostname` asks that a dialled node's certificate names the host dialled; off by default, for nodes
    are often known by address only. `check_node_id` asks that it names the node id (spec HELLO-9).

    Paths are meant from the working directory of this call. Raises ValueError for one that leads nowhere.
    """

    cert: str | os.PathLike[str]
    key: str | os.PathLike[str]
    ca: str | os.PathLike[str]
    check_hostname: bool = False
    check_node_id: bool = False

    def __post_init__(self) -> None:
        checked_flag("check_hostname", self.check_hostname)
        checked_flag("check_node_id", self.check_node_id)
        for name in ("cert", "key", "ca"):
            object.__setattr__(self, name, absolute(getattr(self, name), name))

    def server_context(self) -> ssl.SSLContext:
        """For accepting. Raises OSError or ssl.SSLError, naming the file, where one cannot be used."""
        return self._context(ssl.PROTOCOL_TLS_SERVER)

    def client_context(self) -> ssl.SSLContext:
        """For dialling."""
        context = self._context(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = self.check_hostname
        return context

    def _context(self, protocol: int) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        if protocol == ssl.PROTOCOL_TLS_CLIENT:
            context.check_hostname = False
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_cert_chain(self.cert, self.key, password=_no_password)
        except (OSError, ssl.SSLError) as error:
            msg = f"cannot use certificate {self.cert} with key {self.key}: {error}"
            raise ssl.SSLError(ssl.SSL_ERROR_SSL, msg) from error
        try:
            context.load_verify_locations(self.ca)
        except (OSError, ssl.SSLError) as error:
            msg = f"cannot use certificate authority {self.ca}: {error}"
            raise ssl.SSLError(ssl.SSL_ERROR_SSL, msg) from error
        return context


def _no_password() -> str:
    """Instead of OpenSSL, which would ask at the terminal, and hold up the loop until somebody answers."""
    raise OSError("the key is encrypted; a node is given no password, so store it without one")


def certificate_names(certificate: dict[str, Any] | None) -> set[str]:
    """The names a peer's certificate bears: its common name and every alternative name."""
    fields = certificate or {}
    names = {value for group in fields.get("subject", ()) for kind, value in group if kind == "commonName"}
    return names | {value for _, value in fields.get("subjectAltName", ())}
