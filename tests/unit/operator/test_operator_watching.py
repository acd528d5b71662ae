"""The watches, as far as they can be looked at without an API server."""

import asyncio
import getpass
from typing import NoReturn

import pytest
from kubernetes.aio.client import Configuration

from mission_operator.watching import Watcher


async def test_a_container_whose_user_has_no_name_can_watch(
    monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    def nobody() -> NoReturn:
        raise OSError("No username set in the environment")

    monkeypatch.setattr(getpass, "getuser", nobody)
    nowhere = Configuration(host=f"http://127.0.0.1:{unused_tcp_port}")
    watcher = Watcher(nowhere, namespace="shop", lease_name="operator", identity="operator-0")
    watching = asyncio.create_task(watcher.run())
    done, _ = await asyncio.wait({watching}, timeout=0.5)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert not done, "it gave up before it had asked the API server anything"
