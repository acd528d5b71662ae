"""Keys and certificates for one API server that lives for minutes, on the loopback address only."""

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tools.stack.ports import LOOPBACK

LIFETIME = dt.timedelta(days=30)
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mission-control-stack")])


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """Files in the server's state folder."""

    serving: Path
    """Self-signed, so it is its own authority."""
    serving_key: Path
    accounts_key: Path
    """Signs ServiceAccount tokens; its public half verifies them."""


def write(folder: Path) -> Certificates:
    """Make new keys in this folder."""
    serving_key, accounts_key = new_key(), new_key()
    return Certificates(
        serving=written(folder / "serving.crt", _self_signed(serving_key)),
        serving_key=written(folder / "serving.key", key_pem(serving_key)),
        accounts_key=written(folder / "accounts.key", key_pem(accounts_key)),
    )


def new_key() -> ec.EllipticCurvePrivateKey:
    """Make a key of the kind that is made in no time."""
    return ec.generate_private_key(ec.SECP256R1())


def _self_signed(key: ec.EllipticCurvePrivateKey) -> bytes:
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(LOOPBACK))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(NAME)
        .issuer_name(NAME)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(usage(signs=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def usage(*, signs: bool) -> x509.KeyUsage:
    """Python 3.13 checks certificates strictly: an authority must say that it may sign."""
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the text of a private key."""
    # The API server reads an account key only in this older of the two formats.
    plain = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, plain, serialization.NoEncryption())


def written(path: Path, content: bytes) -> Path:
    """Write a file that only we can read."""
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path
