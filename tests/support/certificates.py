"""Certificates that nobody knows: an authority of our own, and servers' certificates by it, for tests and benchmark."""

import ssl
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFE = timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """An authority: its certificate as an object and as a PEM file, and its key."""

    pem: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @cached_property
    def server(self) -> ssl.SSLContext:
        """A context for a server at localhost that it vouches for."""
        return self.vouching_for("localhost")

    def vouching_for(self, host: str, *, until: timedelta = LIFE) -> ssl.SSLContext:
        """A context for a server at `host` and 127.0.0.1, with a certificate that is good `until` so long from now."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.issue(host, until=until))
        return context

    def issue(self, host: str, *, until: timedelta = LIFE) -> Path:
        """A PEM file with the key and the certificate of a server at `host` and 127.0.0.1.

        It does not identify its authority's key: the SDK trusts it all the same, Python 3.13's strict checks do not.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName(host), x509.IPAddress(IPv4Address("127.0.0.1"))]
        certificate = (
            _builder(host, key, until)
            .issuer_name(self.certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        chain = self.pem.with_name(f"server-{certificate.serial_number}.pem")
        chain.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        return chain


def new_authority(directory: Path) -> Authority:
    """Make one, with its files in `directory`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = "An authority of our own"
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        _builder(name, key, LIFE)
        .issuer_name(_name(name))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = directory / "authority.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(pem, key, certificate)


def _builder(name: str, key: ec.EllipticCurvePrivateKey, until: timedelta) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * LIFE)
        .not_valid_after(now + until)
    )


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _of_somebody_else(authority: Authority) -> ssl.SSLContext:
    return new_authority(Path(tempfile.mkdtemp(dir=authority.pem.parent))).server


# Certificates of a server at localhost that nobody who trusts the authority may accept.
FLAWED: dict[str, Callable[[Authority], ssl.SSLContext]] = {
    "of nobody we trust": _of_somebody_else,
    "of another host": lambda authority: authority.vouching_for("sqs.us-east-1.amazonaws.com"),
    "expired": lambda authority: authority.vouching_for("localhost", until=-timedelta(hours=1)),
}
