"""Turns what was said of many deliveries into as few frames as the protocol allows. Pure; one per channel."""

from bisect import bisect_left

from mission_broker.rabbitmq import frames


class Acknowledgements:
    """Collects words about delivery tags, which count from 1 on each channel."""

    def __init__(self, channel: int) -> None:
        self._channel = channel
        self._acks: list[int] = []
        self._others: list[bytes] = []
        self._settled: set[int] = set()
        self._lowest = 1

    def ack(self, tag: int) -> None:
        self._acks.append(tag)

    def give_back(self, tag: int) -> None:
        self._others.append(frames.nack(self._channel, tag))
        self._settled.add(tag)

    def dead_letter(self, tag: int) -> None:
        self._others.append(frames.reject(self._channel, tag))
        self._settled.add(tag)

    def drain(self) -> bytes:
        """Give the frames for all that was said since the last time."""
        acks, self._acks = sorted(self._acks), []
        others, self._others = self._others, []
        self._settled.update(acks)
        self._advance()
        # All below `lowest` is settled. What is not an acknowledgement of this drain was written before it, so one
        # frame for the highest of them says all of them; its own tag must still be open at the broker, and is.
        together = bisect_left(acks, self._lowest)
        if together:
            others.append(frames.ack(self._channel, acks[together - 1], multiple=together > 1))
        others.extend(frames.ack(self._channel, tag) for tag in acks[together:])
        return b"".join(others)

    def _advance(self) -> None:
        lowest, settled = self._lowest, self._settled
        while lowest in settled:
            settled.remove(lowest)
            lowest += 1
        self._lowest = lowest
