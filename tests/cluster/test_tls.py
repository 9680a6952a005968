"""TLS between nodes: whoever cannot prove who they are is refused before a frame is read."""

from __future__ import annotations

import datetime
import os
import ssl
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from casty import TLS, DistributedActorSystem, HandshakeError
from casty.cluster import peer as peer_module
from casty.cluster.certificates import Certificates
from casty.cluster.tls import certificate_names
from casty.raft.types import NodeId
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
    """PEER-2: files are looked at for each attempt, so that they can be replaced while the node runs."""
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
            await meshed(a, b)  # by the last good one
            restore(mine, good)
            for link in b.links.all():
                link.abort()
            await meshed(a, b)


async def test_a_renewed_certificate_is_shown_without_a_restart(tmp_path: Path) -> None:
    """To those who dial the node as to those it dials; whether files are replaced or rewritten."""
    ca = authority(tmp_path)
    mine, other = ca.issue("a"), ca.issue("b")
    async with client(node_id="a", tls=mine) as a, client(a, node_id="b", tls=other) as b:
        await meshed(a, b)
        for renew in (replace, rewrite):
            renewed = ca.issue("a")
            renew(mine, renewed)
            assert await shown(a, other) == der(renewed)
            for link in b.links.all():
                link.abort()
            await until(lambda: not b.peers)
            await meshed(a, b)
            accepted_by_b = b.links.accepted[NodeId("a"), "actor"]
            assert accepted_by_b._transport is not None
            seen = accepted_by_b._transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
            assert seen == der(renewed)


@pytest.mark.parametrize("step", ["key only", "nothing", "half", "no file", "directory"])
async def test_the_last_good_certificate_is_shown_while_the_files_cannot_be_used(
    step: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One line tells of it, however many connections come; and one when the files are good again."""
    caplog.set_level("INFO")
    ca = authority(tmp_path)
    mine, other, renewed = ca.issue("a"), ca.issue("b"), ca.issue("a")
    before = der(mine)
    async with client(node_id="a", tls=mine) as a:
        begin_to_renew(step, mine, renewed)
        for _ in range(3):
            assert await shown(a, other) == before
        said = [record.message for record in caplog.records if "keeps the TLS certificate" in record.message]
        assert len([record for record in caplog.records if record.levelname == "WARNING"]) == len(said) == 1
        assert str(mine.cert) in said[0]
        if step == "directory":
            remove(mine.cert)
        rewrite(mine, renewed)
        for _ in range(3):
            assert await shown(a, other) == der(renewed)
    good = [record.message for record in caplog.records if "read anew" in record.message]
    assert good == [f"this node uses the TLS certificate in {mine.cert}, read anew"]


async def test_an_authority_that_is_added_is_believed_without_a_restart(tmp_path: Path) -> None:
    """The file of authorities is one of the files."""
    ours, theirs = authority(tmp_path / "ours"), authority(tmp_path / "theirs", "theirs")
    mine, other = ours.issue("a"), theirs.issue("b")
    async with client(node_id="a", tls=mine) as a:
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            await shown(a, other)
        ours.file.write_bytes(ours.file.read_bytes() + theirs.file.read_bytes())
        assert await shown(a, other) == der(mine)


def test_certificates_are_read_again_only_where_they_have_changed(tmp_path: Path) -> None:
    """A look at the files' times is all that an ordinary connection costs."""
    mine = authority(tmp_path).issue("a")
    said: list[str] = []
    fresh = Certificates(mine, lambda text, is_trouble: said.append(text))
    assert fresh.for_accepting() is not fresh.for_accepting(), "a change now would not show in the times"
    for path in (mine.cert, mine.key, mine.ca):
        os.utime(path, (1e9, 1e9))
    with pytest.MonkeyPatch.context() as patch:
        now = time.time()
        patch.setattr(time, "time", lambda: now + 10)
        settled = Certificates(mine, lambda text, is_trouble: said.append(text))
        assert settled.for_accepting() is settled.for_accepting()
        assert settled.for_dialling() is settled.for_dialling()
        assert said == []
        context = settled.for_accepting()
        rewrite(mine, authority(tmp_path).issue("a"))
        assert settled.for_accepting() is not context
        assert len(said) == 1


def begin_to_renew(step: str, mine: TLS, renewed: TLS) -> None:
    """One of the states in which files are on the way."""
    cert = Path(mine.cert)
    match step:
        case "key only":
            Path(mine.key).write_bytes(Path(renewed.key).read_bytes())
        case "nothing":
            cert.write_bytes(b"")
        case "half":
            cert.write_bytes(Path(renewed.cert).read_bytes()[:300])
        case "no file":
            cert.unlink()
        case _:
            cert.unlink()
            cert.mkdir()


def remove(directory: str | os.PathLike[str]) -> None:
    Path(directory).rmdir()


def replace(tls: TLS, renewed: TLS) -> None:
    """As certbot does, and Kubernetes: a new file takes the old one's name. The key comes first."""
    for old, new in ((tls.key, renewed.key), (tls.cert, renewed.cert)):
        Path(new).with_suffix(".copy").write_bytes(Path(new).read_bytes())
        Path(new).with_suffix(".copy").replace(old)


def rewrite(tls: TLS, renewed: TLS) -> None:
    """As `cp` does. The certificate comes first."""
    for old, new in ((tls.cert, renewed.cert), (tls.key, renewed.key)):
        Path(old).write_bytes(Path(new).read_bytes())


def der(tls: TLS) -> bytes:
    return ssl.PEM_cert_to_DER_cert(Path(tls.cert).read_text())


async def shown(system: DistributedActorSystem, to: TLS) -> bytes:
    """The certificate that the node shows to who dials it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(to.cert, to.key)
    async with peer_of(system, "peer", tls=context) as peer:
        found = peer.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        assert isinstance(found, bytes)
        return found


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
