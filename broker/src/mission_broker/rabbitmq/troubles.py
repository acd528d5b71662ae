"""What is wrong with single queues although it is tried again for ever: as it stands, and in the log now and then."""

import logging
from collections.abc import Mapping
from enum import StrEnum

log = logging.getLogger(__name__)


class Deed(StrEnum):
    """What did not go well."""

    DECLARE = "declare"
    CONSUME = "consume"


class Troubles:
    """The newest sentence on each deed with each queue, until it went well."""

    def __init__(self) -> None:
        self._sentences: dict[tuple[str, Deed], str] = {}
        self._times: dict[tuple[str, Deed], int] = {}

    def told(self) -> Mapping[str, str]:
        """Give what is wrong with each queue."""
        told: dict[str, str] = {}
        for (queue, _), sentence in self._sentences.items():
            told[queue] = f"{told[queue]}; {sentence}" if queue in told else sentence
        return told

    def tell(self, queue: str, deed: Deed, sentence: str) -> None:
        """Note what is wrong; the log has the 1st, 2nd, 4th, 8th … time, for an outage of hours must fill no disk."""
        key = queue, deed
        times = self._times[key] = self._times.get(key, 0) + 1 if self._sentences.get(key) == sentence else 1
        self._sentences[key] = sentence
        if times.bit_count() == 1:
            log.warning("%s (time %d)", sentence, times)

    def over(self, queue: str, deed: Deed) -> None:
        """Note that it went well."""
        self._times.pop((queue, deed), None)
        if self._sentences.pop((queue, deed), None) is not None:
            log.info("%s is well again: %s", queue, deed)

    def forget(self, queue: str) -> None:
        """Nobody here wants anything of it any more."""
        for deed in Deed:
            self._sentences.pop((queue, deed), None)
            self._times.pop((queue, deed), None)
