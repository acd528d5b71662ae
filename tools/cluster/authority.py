"""The cluster's own certificate authority, and a client certificate for each who speaks to the API server."""

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tools.stack import certificates
from tools.stack.certificates import key_pem, new_key, written

LIFETIME = dt.timedelta(days=365)


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """Issues certificates that this cluster trusts; its key never leaves memory."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = new_key()
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        root = self._builder(self._name, self._key).add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        root = root.add_extension(certificates.usage(signs=True), critical=True)
        self.certificate = written(folder / f"{name}.crt", self._signed(root))

    def client(self, user: str, *, groups: Sequence[str] = ()) -> Identity:
        """Issue a certificate that the API server reads as this user."""
        return self._issue(user, groups=groups, names=(), purpose=ExtendedKeyUsageOID.CLIENT_AUTH)

    def server(self, name: str, names: Sequence[str]) -> Identity:
        """Issue a certificate for what serves under these names and addresses."""
        return self._issue(name, groups=(), names=names, purpose=ExtendedKeyUsageOID.SERVER_AUTH)

    def _issue(
        self, user: str, *, groups: Sequence[str], names: Sequence[str], purpose: x509.ObjectIdentifier
    ) -> Identity:
        key = new_key()
        organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject = x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, user)])
        builder = (
            self._builder(subject, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(certificates.usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([*map(_general, names)]), critical=False)
        stem = user.replace(":", "-")
        return Identity(
            certificate=written(self._folder / f"{stem}.crt", self._signed(builder)),
            key=written(self._folder / f"{stem}.key", key_pem(key)),
        )

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + LIFETIME)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )

    def _signed(self, builder: x509.CertificateBuilder) -> bytes:
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
