"""kubectl in one namespace: a command that ends, and one that goes on watching."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import msgspec

from benchmarks.measures import BenchError

LONGEST_LINE: Final = 1 << 22
RUN_TIMEOUT_SECONDS: Final = 300.0
"""Above every --timeout that a trial gives to `kubectl wait`."""


class Kubectl:
    """One namespace of the cluster that the environment names."""

    def __init__(self, program: str, namespace: str, environment: Mapping[str, str] | None = None) -> None:
        self._command = (program, "--namespace", namespace)
        self._environment = {**os.environ, **(environment or {})}

    async def run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """Run it to its end; gives what it printed."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *self._command, *arguments, env=self._environment, stdin=pipe, stdout=pipe, stderr=pipe
        )
        try:
            async with asyncio.timeout(RUN_TIMEOUT_SECONDS):
                printed, said = await process.communicate(stdin)
        except TimeoutError:
            process.kill()
            raise BenchError(f"kubectl {' '.join(arguments)} did not end within {RUN_TIMEOUT_SECONDS:.0f} s") from None
        if process.returncode:
            raise BenchError(f"kubectl {' '.join(arguments)} failed: {said.decode().strip()}")
        return printed

    async def apply(self, *objects: Mapping[str, Any]) -> None:
        whole = {"apiVersion": "v1", "kind": "List", "items": objects}
        await self.run("apply", "-f", "-", stdin=msgspec.json.encode(whole))

    @contextlib.asynccontextmanager
    async def watching(self, *arguments: str) -> AsyncIterator[AsyncIterator[tuple[float, str]]]:
        """Give its lines as they come, each with the time of day at which it came."""
        process = await asyncio.create_subprocess_exec(
            *self._command,
            *arguments,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            limit=LONGEST_LINE,
        )
        assert process.stdout is not None
        try:
            yield _lines(process.stdout)
        finally:
            process.kill()
            await process.wait()


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[tuple[float, str]]:
    async for line in stream:
        yield time.time(), line.decode().rstrip("\n")
