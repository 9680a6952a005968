#!/usr/bin/env python3
"""Writes `conformance/certificates/*.pem`: what the suite's nodes and peers show each other under TLS.

Run it only to change them: keys and signatures are new each time. The authorities' keys are not kept, so that
nothing can ever be signed by them but what is written here.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from casty_console import program

FOLDER = Path(__file__).resolve().parent.parent / "conformance" / "certificates"
AUTHORITY = "Casty conformance suite"
BEGIN, END = datetime(2000, 1, 1, tzinfo=UTC), datetime(2999, 12, 31, tzinfo=UTC)
LONG_AGO, FAR_AHEAD = datetime(2001, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC)


class Authority(NamedTuple):
    """Who signs."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def new(cls) -> Authority:
        """One more of the same name: only the key tells them apart."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(AUTHORITY, AUTHORITY, key, BEGIN, END)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
        return cls(builder.sign(key, hashes.SHA256()), key)

    def issue(self, name: str, begin: datetime = BEGIN, end: datetime = END) -> bytes:
        """A certificate for that node id, and its key, in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        loopback = [x509.IPAddress(ip_address(address)) for address in ("127.0.0.1", "::1")]
        names = [x509.DNSName(name), x509.DNSName("localhost"), *loopback]
        uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        signer = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        signed_by = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(signer)
        builder = _builder(name, AUTHORITY, key, begin, end)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(signed_by, critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return certificate.public_bytes(Encoding.PEM) + private


def _builder(
    subject: str, issuer: str, key: ec.EllipticCurvePrivateKey, begin: datetime, end: datetime
) -> x509.CertificateBuilder:
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(_named(subject))
        .issuer_name(_named(issuer))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _named(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """What strict verification, the default from Python 3.13 on, wants to see stated."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


@program
def main() -> int:
    """Writes all of them."""
    right, wrong = Authority.new(), Authority.new()
    FOLDER.mkdir(exist_ok=True)
    files = {name: right.issue(name) for name in ("n1", "n2", "n3")}
    files |= {
        "authority": right.certificate.public_bytes(Encoding.PEM),
        "wrong-authority": wrong.issue("n3"),
        "expired": right.issue("n3", end=LONG_AGO),
        "not-yet-valid": right.issue("n3", begin=FAR_AHEAD),
    }
    for name, pem in files.items():
        (FOLDER / f"{name}.pem").write_bytes(pem)
    return 0


if __name__ == "__main__":
    sys.exit(main())
