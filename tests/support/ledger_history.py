"""What the ledger recorded of each mission, change by change, as its event stream tells it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

from mission_commander.domain.record import Mission
from mission_commander.ports import Ledger
from mission_contracts.mission import MissionState


class LedgerHistory:
    """Every record of every mission, oldest first."""

    def __init__(self, records: Iterable[Mission]) -> None:
        self._of: defaultdict[str, list[Mission]] = defaultdict(list)
        for record in records:
            self._of[record.id].append(record)

    @classmethod
    async def of(cls, ledger: Ledger) -> "LedgerHistory":
        """Read the whole stream."""
        records: list[Mission] = []
        last = "0-0"
        while batch := await ledger.events(last, wait_seconds=0):
            records += [event.mission for event in batch]
            last = batch[-1].id
        return cls(records)

    def last(self, mission_id: str) -> Mission:
        return self._of[mission_id][-1]

    def epochs_claimed(self, mission_id: str) -> Sequence[int]:
        """The epochs that some soldier was told to run."""
        return sorted({one.epoch for one in self._of[mission_id] if one.holder})

    def assert_each_completed_once(self, ids: Iterable[str]) -> None:
        """Each became Completed exactly once, and nothing came after its end but the acknowledgement."""
        completions = Counter({one: self._ends(one, MissionState.COMPLETED) for one in ids})
        wrong = {one: count for one, count in completions.items() if count != 1}
        assert not wrong, f"completed more or less than once: {wrong}"
        for one in completions:
            self._assert_numbers_rise(one)

    def _ends(self, mission_id: str, state: MissionState) -> int:
        records = self._of[mission_id]
        begins = bool(records) and records[0].state is state
        return begins + sum(before.state is not state and after.state is state for before, after in pairwise(records))

    def _assert_numbers_rise(self, mission_id: str) -> None:
        for before, after in pairwise(self._of[mission_id]):
            assert before.sequence < after.sequence, f"{mission_id}: {before} then {after}"
            assert before.epoch <= after.epoch, f"{mission_id}: {before} then {after}"
            assert not before.is_final or before.state is after.state, f"{mission_id}: {before} then {after}"
