"""TLS between nodes: whoever cannot prove who they are is refused before a frame is read."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from casty import TLS, HandshakeError
from casty.cluster import peer as peer_module
from casty.cluster.tls import certificate_names
from tests.cluster.actors import Echo
from tests.cluster.harness import client, meshed, node, until, within
from tests.cluster.peers import peer_of

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


class Authority(NamedTuple):
    """Who signs certificates."""

    name: x509.Name
    key: ec.EllipticCurvePrivateKey
    directory: Path

    @property
    def file(self) -> Path:
        return self.directory / "ca.pem"

    def issue(self, *names: str, until: datetime.datetime = NOW + DAY, common: str = "") -> TLS:
        """A certificate for these names, with its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(common or names[0])
        certificate = (
            _builder(subject, self.name, key, until)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        stem = self.directory / f"{names[0]}-{certificate.serial_number}"
        stem.with_suffix(".crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        stem.with_suffix(".key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return TLS(stem.with_suffix(".crt"), stem.with_suffix(".key"), self.file)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, until: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - 30 * DAY)
        .not_valid_after(until)
    )


def authority(directory: Path, name: str = "authority") -> Authority:
    """A new one, its own certificate in a file."""
    directory.mkdir(exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    constraints = x509.BasicConstraints(ca=True, path_length=None)
    certificate = (
        _builder(_name(name), _name(name), key, NOW + DAY)
        .add_extension(constraints, critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(_name(name), key, directory)


async def test_nodes_with_certificates_of_one_authority_talk(tmp_path: Path) -> None:
    """PEER-2 under TLS, in both directions; large messages, too."""
    ca = authority(tmp_path)
    async with (
        client(node_id="a", tls=ca.issue("a")) as a,
        client(a, node_id="b", tls=ca.issue("b")) as b,
    ):
        await meshed(a, b)
        await a.spawn(Echo, name="echo")
        ref = await b.lookup("echo")
        assert await ref.ask(bytes(3 << 20)) == bytes(3 << 20)


@pytest.mark.parametrize("case", ["no certificate", "another authority", "expired"])
async def test_who_cannot_prove_who_they_are_is_not_let_in(case: str, tmp_path: Path) -> None:
    """Conformance T-05: neither as a dialler nor as whom one dials; the node serves others on."""
    ca = authority(tmp_path)
    own = ca.issue("a")
    match case:
        case "no certificate":
            context = ssl.create_default_context(cafile=ca.file)
            context.check_hostname = False
            theirs = None
        case "another authority":
            theirs = authority(tmp_path / "other", "other").issue("x")
        case _:
            theirs = ca.issue("x", until=NOW - DAY)
    if theirs is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(theirs.cert, theirs.key)
    async with client(node_id="a", tls=own) as a:
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            async with peer_of(a, tls=context):
                raise RuntimeError("it was let in")
        if theirs is not None:
            async with client(a, node_id="x", tls=theirs) as x:
                await until(lambda: any(tried.failures for tried in x.book._attempts.values()))
                assert not x.peers
        assert not a.peers
        async with client(a, node_id="b", tls=ca.issue("b")) as b:
            await meshed(a, b)


async def test_plaintext_on_a_tls_port_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Conformance T-04, HELLO-3: and a connection that never finishes its handshake does not stay."""
    monkeypatch.setattr("casty.cluster.system.HELLO_SECONDS", 0.1)
    ca = authority(tmp_path)
    async with client(node_id="a", tls=ca.issue("a")) as a:
        async with peer_of(a, greet=False) as peer:
            peer.send(peer.hello())
            assert await peer.refused() is None
        async with peer_of(a, greet=False) as silent:
            assert await silent.refused() is None
        async with client(a, node_id="b") as b:
            await until(lambda: any(tried.failures for tried in b.book._attempts.values()))
            assert not a.peers
            assert not b.peers


async def test_a_certificate_can_be_asked_to_name_the_node(tmp_path: Path) -> None:
    """HELLO-9 (conformance T-06): by its common name or an alternative name."""
    ca = authority(tmp_path)
    strict = ca.issue("a")
    strict = TLS(strict.cert, strict.key, strict.ca, check_node_id=True)
    async with client(node_id="a", tls=strict) as a:
        for theirs in (ca.issue("b"), ca.issue("other", common="b"), ca.issue("other", "b")):
            async with client(a, node_id="b", tls=theirs) as b:
                await meshed(a, b)
            await until(lambda: not a.peers)
        liar = ca.issue("somebody")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(liar.cert, liar.key)
        async with peer_of(a, "b", greet=False, tls=context) as peer:
            peer.send(peer.hello())
            assert await peer.refused() == "CERTIFICATE_MISMATCH"
        assert not a.peers


async def test_a_seed_that_is_not_believed_is_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """HELLO-4: a certificate of another authority ends the wait for the cluster, with a word on why."""
    ours, theirs = authority(tmp_path / "ours"), authority(tmp_path / "theirs", "somebody")
    async with (
        client(node_id="stranger", tls=theirs.issue("stranger")) as stranger,
        node(stranger, node_id="here", tls=ours.issue("here")) as here,
    ):
        with pytest.raises(HandshakeError, match=r"the certificate there is not believed: .*certificate"):
            await within(here.wait_ready())
        await until(lambda: any(tried.failures > 1 for tried in here.book._attempts.values()))
    said = [record.message for record in caplog.records if "is not believed" in record.message]
    assert len(said) == 1
    assert said[0].startswith(f"{stranger.listen} cannot be a peer: the certificate there is not believed: ")


async def test_the_name_of_the_host_can_be_checked(tmp_path: Path) -> None:
    """Off by default, for nodes are often known by address only."""
    ca = authority(tmp_path)
    async with client(node_id="a", tls=ca.issue("elsewhere.example")) as a:
        mine = ca.issue("b")
        strict = TLS(mine.cert, mine.key, mine.ca, check_hostname=True)
        async with client(a, node_id="b", tls=strict) as b:
            await until(lambda: any(tried.failures for tried in b.book._attempts.values()))
            assert not b.links.dialled


async def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    """The node does not start, and says which file it is."""
    ca = authority(tmp_path)
    good = ca.issue("a")
    wrong: list[tuple[TLS, str]] = [
        (TLS(tmp_path / "none", good.key, good.ca), "cannot use certificate .*none"),
        (TLS(good.cert, ca.issue("b").key, good.ca), "cannot use certificate"),
        (TLS(good.cert, good.key, tmp_path / "none"), "cannot use certificate authority .*none"),
        (TLS(good.cert, locked(good), good.ca), "cannot use certificate .*locked.*: the key is encrypted"),
    ]
    for tls, words in wrong:
        with pytest.raises(ssl.SSLError, match=f"^{words}"):
            await client(tls=tls).serve()


def locked(tls: TLS) -> Path:
    """The key, encrypted: OpenSSL would ask at the terminal for the password."""
    key = serialization.load_pem_private_key(Path(tls.key).read_bytes(), None)
    path = Path(tls.key).with_suffix(".locked")
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    return path


async def test_certificates_that_become_unusable_are_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PEER-2: files are read at each attempt, so that they can be replaced while the node runs."""
    monkeypatch.setattr(peer_module, "REDIAL_SECONDS", 0.01)
    ca = authority(tmp_path)
    mine = ca.issue("b")
    async with client(node_id="a", tls=ca.issue("a")) as a:
        b = client(a, node_id="b", tls=mine)
        async with b:
            await meshed(a, b)
            good = damage(mine)
            for link in b.links.all():
                link.abort()
            await until(lambda: any(tried.failures > 1 for tried in b.book._attempts.values()))
            restore(mine, good)
            await meshed(a, b)


def damage(tls: TLS) -> bytes:
    """Makes the certificate's file unusable; returns what it held."""
    good = Path(tls.cert).read_bytes()
    Path(tls.cert).write_text("nonsense")
    return good


def restore(tls: TLS, good: bytes) -> None:
    Path(tls.cert).write_bytes(good)


def test_a_connection_without_a_certificate_has_no_names() -> None:
    """HELLO-9."""
    assert certificate_names(None) == set()
    fields: dict[str, Any] = {
        "subject": ((("commonName", "n"), ("country", "x")),),
        "subjectAltName": (("DNS", "m"),),
    }
    assert certificate_names(fields) == {"n", "m"}
