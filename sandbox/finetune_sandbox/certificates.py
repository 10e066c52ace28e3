"""A certificate authority for one test cluster, made in memory in milliseconds."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALIDITY = timedelta(days=365)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """A private key and what it is known by, as PEM."""

    key: bytes
    certificate: bytes


class Authority:
    """Signs the certificates of one cluster's servers and users."""

    def __init__(self, name: str = "finetune-sandbox") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name((x509.NameAttribute(NameOID.COMMON_NAME, name),))
        certificate = (
            _certificate(self._name, self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM)

    def user(self, name: str, groups: tuple[str, ...] = ()) -> KeyPair:
        """A client certificate: Kubernetes reads the user from CN and the groups from O."""
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, name))
        return self._signed(x509.Name(attributes), ExtendedKeyUsageOID.CLIENT_AUTH, ())

    def server(self, name: str, hosts: tuple[str, ...], addresses: tuple[str, ...]) -> KeyPair:
        """A serving certificate for these names and IP addresses."""
        subject = x509.Name((x509.NameAttribute(NameOID.COMMON_NAME, name),))
        alternatives = [x509.DNSName(host) for host in hosts]
        reachable = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        return self._signed(subject, ExtendedKeyUsageOID.SERVER_AUTH, (*alternatives, *reachable))

    def _signed(
        self, subject: x509.Name, usage: x509.ObjectIdentifier, alternatives: tuple[x509.GeneralName, ...]
    ) -> KeyPair:
        key = ec.generate_private_key(ec.SECP256R1())
        unsigned = _certificate(subject, self._name, key.public_key()).add_extension(
            x509.ExtendedKeyUsage((usage,)), critical=False
        )
        if alternatives:
            unsigned = unsigned.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        certificate = unsigned.sign(self._key, hashes.SHA256())
        return KeyPair(key=_pem(key), certificate=certificate.public_bytes(serialization.Encoding.PEM))


def signing_key() -> KeyPair:
    """A bare key pair, as service account tokens are signed and checked with."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return KeyPair(key=_pem(key), certificate=public)


def _certificate(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + VALIDITY)
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
