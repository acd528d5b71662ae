"""When to get the next access token: well before the old one ends, and not when everybody else does."""

from typing import Final

EARLIEST_SHARE: Final = 2 / 3
LATEST_SHARE: Final = 5 / 6
"""Of its lifetime: a token of 30 s is renewed between 20 and 25 s, and 5 s are left to try again."""


def renew_after(lifetime_seconds: float, chance: float) -> float:
    """Seconds after which to renew. `chance` is from 0 to 1, anew for each token.

    Those who got their tokens at one moment, as after an outage, come back spread over a sixth of its lifetime, and
    further apart each time.
    """
    return lifetime_seconds * (EARLIEST_SHARE + (LATEST_SHARE - EARLIEST_SHARE) * chance)
