"""The certificate and the key of a server, checked before it listens: what clients would refuse is an error here."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from shlex import quote
from typing import Any, Final, NoReturn

from ...tools import ToolError

NOT_YET_VALID: Final = 9
EXPIRED: Final = 10
"""Numbers of OpenSSL for what is wrong with a certificate (``verify_code``)."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that a server can use.

    Attributes:
        file: its file.
        context: TLS context of the server.
        names: host names and addresses for which it was issued.
        until: when it expires, such as "Jan 15 10:30:45 2027 GMT".
        is_self_signed: whether it was issued by itself, so that clients have to trust the file itself.
    """

    file: Path
    context: ssl.SSLContext
    names: tuple[str, ...]
    until: str
    is_self_signed: bool

    def name_for(self, host: str) -> str:
        """Return the host if the certificate is for it, or else a name by which clients should reach this machine."""
        if host in self.names:
            return host
        return next((name for name in self.names if not name.startswith("*")), host)


def load_certificate(certificate: Path, key: Path | None) -> Certificate:
    """Load a certificate, and check that a client that trusts it could connect.

    Args:
        certificate: file with the certificate, followed by those between it and its authority (PEM).
        key: file with its key (PEM); None if it is in the file of the certificate.

    Raises:
        ToolError: a file does not contain what it should, the key belongs to another certificate or is encrypted, or
            the certificate has expired or is not yet valid.
        OSError: a file cannot be read.
    """
    place = certificate if key is None else key
    for file in {certificate, place}:
        file.read_bytes()  # the errors of OpenSSL do not name the file
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the certificate itself is trusted, without its authority
    try:
        client.load_verify_locations(certificate)
    except ssl.SSLError as error:
        raise ToolError(f"{certificate}: no certificate in it (PEM)") from error
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)

    def refuse_password() -> NoReturn:
        raise ToolError(f"{place}: the key is encrypted; decrypt it: openssl pkey -in {quote(str(place))} -out FILE")

    try:
        server.load_cert_chain(certificate, key, refuse_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ToolError(f"{place}: this key does not belong to the certificate {certificate}") from error
        way_out = "name its file by --ssl-keyfile" if key is None else "name the file of the certificate's key"
        problem = "no key in it (PEM)" if error.reason is None else f"it cannot be used ({error.reason})"
        raise ToolError(f"{place}: {problem}; {way_out}") from error
    try:
        found = _seen_by(client, server)
    except ssl.SSLCertVerificationError as error:
        raise ToolError(f"{certificate}: {_why_not(error)}") from error
    return Certificate(
        certificate,
        server,
        tuple(map(_name, found.get("subjectAltName", ()))),
        found["notAfter"],
        found["subject"] == found["issuer"],
    )


def _seen_by(client: ssl.SSLContext, server: ssl.SSLContext) -> dict[str, Any]:
    """Let a client connect in memory, and return the certificate that it gets.

    Raises:
        ssl.SSLCertVerificationError: the client refuses the certificate.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)]
    waiting = list(ends)
    while waiting:
        for end in list(waiting):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(end)
    return ends[0].getpeercert() or {}


def _name(alternative: tuple[str, str]) -> str:
    kind, name = alternative
    return str(ip_address(name.strip())) if kind == "IP Address" else name


def _why_not(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code == EXPIRED:
        return "the certificate has expired, and clients would refuse it; renew it"
    if error.verify_code == NOT_YET_VALID:
        return "the certificate is not yet valid, and clients would refuse it; check the clock of this machine"
    return f"clients would refuse this certificate: {error.verify_message.rstrip('.')}"
