"""The API's certificate: given to the web server, and read again when whoever renews it has written a new one."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import structlog
import uvicorn

from mission_commander.settings import CommanderSettings

CHECK_INTERVAL_SECONDS: Final = 10.0
_log: Final = structlog.get_logger("tls")


def files(settings: CommanderSettings) -> dict[str, Any]:
    """Return what the web server is to be told; nothing where it speaks plain HTTP."""
    if settings.tls_certificate_file is None or settings.tls_key_file is None:
        return {}
    return {"ssl_certfile": str(settings.tls_certificate_file), "ssl_keyfile": str(settings.tls_key_file)}


@asynccontextmanager
async def kept_fresh(
    config: uvicorn.Config, settings: CommanderSettings, *, every_seconds: float = CHECK_INTERVAL_SECONDS
) -> AsyncIterator[None]:
    """Have new connections see a renewed certificate while the context is open."""
    certificate, key = settings.tls_certificate_file, settings.tls_key_file
    if certificate is None or key is None:
        yield
        return
    renewing = asyncio.create_task(_renew(config, certificate, key, every_seconds))
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.wait((renewing,))


async def _renew(config: uvicorn.Config, certificate: Path, key: Path, every_seconds: float) -> None:
    seen = _written(certificate, key)
    while True:
        await asyncio.sleep(every_seconds)
        written = _written(certificate, key)
        if config.ssl is None or written is None or written == seen:
            continue
        seen = written
        try:
            # A pair that does not fit would spoil the context that serves, so that another one tries it first.
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
            config.ssl.load_cert_chain(certificate, key)
        except OSError as error:  # half of the pair is written: it is read again when the other half is
            _log.warning("the renewed certificate cannot be used; the old one stays", why=str(error))
        else:
            _log.info("serving a renewed certificate", file=str(certificate))


def _written(certificate: Path, key: Path) -> tuple[int, int] | None:
    """When the files were last written; None while one of them is being replaced."""
    try:
        return certificate.stat().st_mtime_ns, key.stat().st_mtime_ns
    except OSError:
        return None
