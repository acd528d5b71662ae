"""Orders that wait in this soldier for their claim or for a slot: High before Normal, each in order of arrival.

So that Normal ones do not wait for ever, one of them goes after every eight High ones.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from mission_broker.port import Delivery
from mission_contracts.messages import Order
from mission_contracts.mission import Priority
from mission_soldier.book import Book, Key

HIGH_IN_A_ROW: Final = 8
"""After so many High ones the next is a Normal one, if any waits."""


class Received:
    """One order in hand. Its delivery changes when a channel dies and the broker delivers again."""

    __slots__ = ("delivery", "is_told", "key", "order")

    def __init__(self, order: Order, delivery: Delivery) -> None:
        self.key: Key = (order.envelope.mission_id, order.epoch)
        self.order = order
        self.delivery = delivery
        self.is_told = False
        """The Commander asked for the whole order: the next claim carries it."""

    @property
    def is_high(self) -> bool:
        return self.order.envelope.priority is Priority.HIGH


class Waiting:
    """Knows every unclaimed order, also those whose claim is under way or told to wait."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._by_key: dict[Key, Received] = {}
        self._high: deque[Received] = deque()
        self._normal: deque[Received] = deque()
        self._high_in_a_row = 0
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._by_key)

    @property
    def is_lined_up(self) -> bool:
        """Something waits that nobody has asked about."""
        return bool(self._high or self._normal)

    @property
    def owes_normal(self) -> bool:
        """It is a Normal one's turn."""
        return self._high_in_a_row >= HIGH_IN_A_ROW

    def find(self, key: Key) -> Received | None:
        return self._by_key.get(key)

    def add(self, batch: Sequence[Received]) -> None:
        """Line up new ones, the last in their queue."""
        for received in batch:
            self._by_key[received.key] = received
            self._line_of(received).append(received)
        self._book.add_unclaimed(received.key for received in batch)
        if self._is_closed:
            self.give_back_lines()

    def put_back(self, batch: Sequence[Received]) -> None:
        """Line up again, first in their queue, those that were taken and got no verdict."""
        for received in reversed(batch):
            if received.key in self._by_key:
                self._line_of(received).appendleft(received)
        if self._is_closed:
            self.give_back_lines()

    def take(self, most: int, wanted: Callable[[Received], bool] = lambda _: True) -> list[Received]:
        """Take the next ones to claim, up to the first that is not wanted.

        Those whose channel died are forgotten, the broker delivers them again.
        """
        taken: list[Received] = []
        dead: list[Received] = []
        while len(taken) < most and (line := self._next_line()) and wanted(line[0]):
            received = line.popleft()
            if received.delivery.is_alive:
                taken.append(received)
                self._high_in_a_row = self._high_in_a_row + 1 if received.is_high else 0
            else:
                dead.append(received)
        if dead:
            self.forget(dead)
        return taken

    def forget(self, batch: Iterable[Received]) -> None:
        """These wait no more: they were dropped, or are gone."""
        self._book.forget_unclaimed(self._keys_out(batch))

    def claimed(self, batch: Iterable[Received]) -> None:
        """These wait no more, because they run; the book moves them with their claims."""
        for received in batch:
            self._by_key.pop(received.key, None)

    def close(self) -> None:
        """Return every order to its queue unharmed, now and when it is put back: nothing more is taken."""
        self._is_closed = True
        self.give_back_lines()

    def open(self) -> None:
        """Take orders again."""
        self._is_closed = False

    def give_back_lines(self) -> int:
        """Return what nobody has asked about; gives how many."""
        leaving = [*self._high, *self._normal]
        self._high.clear()
        self._normal.clear()
        self._give_back(leaving)
        return len(leaving)

    def give_back_rest(self) -> None:
        """Return also those whose claim has no answer: this soldier leaves."""
        self._give_back(list(self._by_key.values()))

    def _next_line(self) -> deque[Received]:
        first, second = (self._normal, self._high) if self.owes_normal else (self._high, self._normal)
        return first or second

    def _give_back(self, leaving: Sequence[Received]) -> None:
        for received in leaving:
            received.delivery.give_back()
        if leaving:
            self.forget(leaving)

    def _keys_out(self, batch: Iterable[Received]) -> Iterator[Key]:
        for received in batch:
            self._by_key.pop(received.key, None)
            yield received.key

    def _line_of(self, received: Received) -> deque[Received]:
        return self._high if received.is_high else self._normal
