"""HTTPS: who believes the Commander's certificate, who does not, and what happens when it is renewed."""

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import pydantic
import pytest
from pydantic import SecretStr
from support.commander_api import SECRET, Api, serving, settings
from tools.stack import certificates

from mission_commander.__main__ import _with_authority
from mission_contracts.clock import SystemClock
from mission_contracts.mission import Instance
from mission_contracts.soldiering import Registration
from mission_operator.commander import client as operators_client
from mission_operator.commander.client import CommanderAwayError as OperatorsCommanderAwayError
from mission_soldier import commander as soldiers_client
from mission_soldier.commander import CommanderAwayError
from mission_soldier.tokens import ClientSecret

REGISTRATION: Final = Registration(
    instance=Instance("one"), namespace="default", pool="default", types=(), concurrency=1
)


@pytest.fixture
def pair(tmp_path: Path) -> certificates.Certificates:
    return certificates.write(tmp_path)


@asynccontextmanager
async def a_commander(pair: certificates.Certificates) -> AsyncIterator[Api]:
    async with serving(tls_certificate_file=pair.serving, tls_key_file=pair.serving_key) as api:
        yield api


async def test_a_soldier_believes_a_certificate_of_the_authority_that_it_was_given(
    pair: certificates.Certificates,
) -> None:
    secret = ClientSecret("soldiers", SecretStr(SECRET))
    async with a_commander(pair) as api, soldiers_client.connect(api.url, secret, pair.serving) as commander:
        assert (await commander.register(REGISTRATION)).lease_seconds > 0


async def test_a_soldier_believes_no_other_certificate(pair: certificates.Certificates) -> None:
    secret = ClientSecret("soldiers", SecretStr(SECRET))
    async with a_commander(pair) as api, soldiers_client.connect(api.url, secret) as commander:
        with pytest.raises(CommanderAwayError, match="CERTIFICATE_VERIFY_FAILED"):
            await commander.register(REGISTRATION)


async def test_the_operator_believes_the_authority_that_it_was_given_and_no_other(
    pair: certificates.Certificates,
) -> None:
    proof, clock = operators_client.by_secret("operator", SECRET), SystemClock()
    async with a_commander(pair) as api:
        async with operators_client.connect(api.url, proof, clock, pair.serving) as commander:
            assert await commander.pools() == ()
        async with operators_client.connect(api.url, proof, clock) as commander:
            with pytest.raises(OperatorsCommanderAwayError, match="CERTIFICATE_VERIFY_FAILED"):
                await commander.pools()


async def test_who_speaks_without_tls_is_not_answered(pair: certificates.Certificates) -> None:
    async with a_commander(pair) as api, httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.TransportError):
            await client.get(api.url.replace("https://", "http://") + "/health")


async def test_a_renewed_certificate_is_served_without_a_restart(
    pair: certificates.Certificates, tmp_path: Path
) -> None:
    (tmp_path / "new").mkdir()
    renewed = certificates.write(tmp_path / "new")
    async with a_commander(pair) as api:
        before = await shown(api)
        shutil.copy(renewed.serving, pair.serving)  # only half of the pair: it fits no key
        await asyncio.sleep(0.1)
        assert await shown(api) == before
        shutil.copy(renewed.serving_key, pair.serving_key)
        after = ssl.PEM_cert_to_DER_cert(renewed.serving.read_text())
        assert after != before
        await eventually_served(api, after)


async def shown(api: Api) -> bytes:
    """The certificate that a new connection sees."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    place = urlsplit(api.url)
    _, writer = await asyncio.open_connection(place.hostname, place.port, ssl=context)
    try:
        certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return certificate
    finally:
        writer.close()
        await writer.wait_closed()


async def eventually_served(api: Api, certificate: bytes) -> None:
    async with asyncio.timeout(10):
        while await shown(api) != certificate:  # noqa: ASYNC110 - a server tells nobody that it read a file
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("lacking", ["tls_certificate_file", "tls_key_file"])
def test_a_certificate_and_its_key_belong_together(lacking: str) -> None:
    both: dict[str, Any] = {"tls_certificate_file": Path("/c"), "tls_key_file": Path("/k")}
    with pytest.raises(pydantic.ValidationError, match="belong together"):
        settings(**{name: file for name, file in both.items() if name != lacking})


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("rediss://:p@h:6379/0", "rediss://:p@h:6379/0?ssl_ca_certs=/ca.crt"),
        ("rediss://h/0?a=b", "rediss://h/0?a=b&ssl_ca_certs=/ca.crt"),
        ("rediss://h/0?ssl_ca_certs=/own", "rediss://h/0?ssl_ca_certs=/own"),
        ("redis://h/0", "redis://h/0"),
    ],
)
def test_redis_is_checked_against_the_authority_too(url: str, expected: str) -> None:
    assert _with_authority(url, Path("/ca.crt")) == expected
    assert _with_authority(url, None) == url
