"""Which RabbitMQ and Redis: those of this machine's packages, or RabbitMQ 4.0 and Redis 8 of Debian trixie.

Whatever starts servers takes the pair that STACK_PAIR names, so every test runs on either.
"""

import os
from collections.abc import Mapping
from enum import StrEnum

from tools.stack import containers, debian, installations, packages, trixie
from tools.stack.errors import StackError
from tools.stack.installations import Installation

VARIABLE = "STACK_PAIR"


class Pair(StrEnum):
    """A RabbitMQ and a Redis that are tested together."""

    INSTALLED = "installed"  # RabbitMQ 3.10 and Redis 7.0 on Debian 12
    TRIXIE = "trixie"  # RabbitMQ 4.0 and Redis 8


def chosen(environment: Mapping[str, str] | None = None) -> Pair:
    """Read which pair is wanted."""
    named = (os.environ if environment is None else environment).get(VARIABLE) or Pair.INSTALLED
    try:
        return Pair(named)
    except ValueError:
        known = " or ".join(Pair)
        raise StackError(f"{VARIABLE}={named} names no pair of servers: set it to {known}, or not at all.") from None


def installation(pair: Pair, program: str) -> Installation | None:
    """Where this pair's program is run; None means in a container."""
    if pair is Pair.TRIXIE:
        return trixie.installation() if trixie.is_made() else None
    own = installations.on_this_machine()
    return own if program in own.programs else None


def why_not(pair: Pair) -> str | None:
    """Say why this pair cannot be started as things are, or None when it can."""
    if pair is Pair.INSTALLED:
        return packages.why_not()
    if trixie.is_made() or containers.docker_answers():
        return None
    if reason := debian.why_not():
        return (
            f"No Debian trixie can be made here ({reason}) and no Docker daemon answers, so RabbitMQ 4.0 and Redis 8 "
            "cannot run here: start Docker, or do this as root on Linux with debootstrap."
        )
    return (
        "RabbitMQ 4.0 and Redis 8 are not made yet: run `.venv/bin/python -m tools.stack prepare --pair trixie` "
        "first (about two minutes, once)."
    )


def ensure(pair: Pair) -> None:
    """Install or make what is missing where that is possible; afterwards the pair can start, or we say why not."""
    if pair is Pair.INSTALLED:
        packages.ensure()
        return
    if not trixie.is_made() and debian.why_not() is None:
        trixie.make()
    if reason := why_not(pair):
        raise StackError(reason)
