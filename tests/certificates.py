"""TLS for the tests: a certificate of 127.0.0.1 and localhost, and clients that trust it."""

from __future__ import annotations

import ssl
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from recordings import optional


@cache
def certificate() -> tuple[Path, Path, Path]:
    """Paths of a certificate, its key, and the certificate of the authority that signed it."""
    authority = optional("trustme").CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    folder = Path(mkdtemp(prefix="ecgframe-tls-"))
    chain, key, root = folder / "chain.pem", folder / "key.pem", folder / "root.pem"
    for number, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(str(chain), append=number > 0)
    issued.private_key_pem.write_to_path(str(key))
    authority.cert_pem.write_to_path(str(root))
    return chain, key, root


@cache
def server_context() -> ssl.SSLContext:
    """Return the TLS context of a server."""
    chain, key, _ = certificate()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    return context


@cache
def client_context() -> ssl.SSLContext:
    """Return the TLS context of a client that trusts the server."""
    return ssl.create_default_context(cafile=certificate()[2])
