"""Whose certificates are believed: those that the system believes, and those of an installation's own authority."""

import ssl
from pathlib import Path


def tls_context(authority_file: Path | None) -> ssl.SSLContext:
    """Return a client's context that checks names and certificates. Raises OSError for a file that cannot be used."""
    context = ssl.create_default_context()
    if authority_file is not None:
        context.load_verify_locations(cafile=authority_file)
    return context
