"""What every attack is tried on: one Commander behind real HTTP, its clients by who they are, and a bare connection.

`api.client("anna")` is a user, as `ben` is; `vera` a viewer, `ada` an admin, `operator` the operator, `soldiers` a
soldier; `api.stranger()` has no token (tests/support/commander_api.py).
"""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from support.api_fixtures import api, soldier
from support.bare_http import BareHttp
from support.commander_api import Api

__all__ = ["api", "bare", "soldier"]


@pytest.fixture
async def bare(api: Api) -> AsyncIterator[BareHttp]:
    """Connections below any HTTP client: bytes go out as they are written."""
    address = urlsplit(api.url)
    assert address.hostname is not None
    assert address.port is not None
    async with BareHttp(address.hostname, address.port) as bare:
        yield bare
