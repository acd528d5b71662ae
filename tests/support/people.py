"""A Commander with a first admin, and people who log in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from support.commander_api import Api, serving
from support.patience import until

from mission_commander.adapters.memory_users import MemoryUserData

ADMIN = "root"
PASSWORD = "correct horse battery"


@asynccontextmanager
async def people(folder: Path, users: MemoryUserData | None = None, **fields: Any) -> AsyncIterator[Api]:
    """Serve with a first admin, whose Secret lies in the folder."""
    data = users or MemoryUserData()
    file = folder / "password"
    file.write_text(f"{PASSWORD}\n")
    async with serving(users=data, first_admin=ADMIN, first_admin_password_file=file, **fields) as api:
        await until(lambda: ADMIN in data.users, "the first admin is there")
        await api.declare_pool()
        yield api


async def logged_in(api: Api, name: str) -> httpx.AsyncClient:
    """Somebody who has just logged in."""
    client = await api.another()
    answer = await client.post("/login", json={"username": name, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return client
