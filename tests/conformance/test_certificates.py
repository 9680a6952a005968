"""The certificates of the suite are what its cases say of them, to the strictest reader there is."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from conformance.peer.credentials import FOLDER, Credentials, certificate, environment

NAMES = {
    "n1": "n1",
    "n2": "n2",
    "n3": "n3",
    "wrong-authority": "n3",
    "expired": "n3",
    "not-yet-valid": "n3",
}
YEARS = {"expired": (2000, 2001), "not-yet-valid": (2999, 2999)}


def read(name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((FOLDER / f"{name}.pem").read_bytes())


def test_there_are_no_others() -> None:
    assert {path.stem for path in FOLDER.glob("*.pem")} == {*NAMES, "authority"}


@pytest.mark.parametrize("name", NAMES)
def test_each_says_what_its_cases_need(name: str) -> None:
    shown, authority = read(name), read("authority")
    names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [NAMES[name], "localhost"]
    assert shown.issuer == authority.subject
    years = (shown.not_valid_before_utc.year, shown.not_valid_after_utc.year)
    assert years == YEARS.get(name, (2000, 2999))
    begin, end = shown.not_valid_before_utc, shown.not_valid_after_utc
    assert (begin <= datetime.now(UTC) <= end) == (name not in YEARS)
    key = load_pem_private_key((FOLDER / f"{name}.pem").read_bytes(), None)
    assert key.public_key() == shown.public_key()
    assert shown.public_bytes(Encoding.DER) == certificate(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_strict_reader_believes_the_good_ones(name: str) -> None:
    """As Python does by default from 3.13 on, and checking the host that was dialled."""
    reasons = {
        "wrong-authority": "unable to get local issuer certificate",
        "expired": "certificate has expired",
        "not-yet-valid": "certificate is not yet valid",
    }
    dialling = Credentials("n2").dialling()
    dialling.check_hostname = True
    dialling.verify_flags |= ssl.VERIFY_X509_STRICT
    if name in reasons:
        with pytest.raises(ssl.SSLCertVerificationError, match=reasons[name]):
            shake_hands(dialling, Credentials(name).listening())
    else:
        assert shake_hands(dialling, Credentials(name).listening()) == certificate(name)


def shake_hands(dialling: ssl.SSLContext, listening: ssl.SSLContext) -> bytes | None:
    """A handshake without a network: what the one who dials has been shown."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = dialling.wrap_bio(back, there, server_hostname="127.0.0.1")
    other = listening.wrap_bio(there, back, server_side=True)
    for _ in range(4):
        for end in (here, other):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
    return here.getpeercert(binary_form=True)


def test_the_node_is_told_files_that_are_there() -> None:
    """LAUNCH-7: the certificate and its key in one file."""
    told = environment("n1", check_node_id=True)
    assert told.pop("CF_TLS_CHECK_NODE_ID") == "1"
    assert [Path(path).stem for path in told.values()] == ["n1", "n1", "authority"]
    assert all(Path(path).is_file() for path in told.values())
