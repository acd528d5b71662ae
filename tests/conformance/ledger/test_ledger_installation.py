"""What a ledger keeps of the installation itself: how much there is, and the switch of the outbox relay."""

from support.ledger_probe import Stage, a_mission, creation, dead, finished, must, put

from mission_commander.ports import Ledger, OutboxEntry, Totals


async def test_an_empty_ledger_holds_nothing(ledger: Ledger) -> None:
    assert await ledger.totals() == Totals(live=0, outbox=0, oldest=None, dead_letters=0)


async def test_it_tells_how_much_it_holds(ledger: Ledger) -> None:
    first, second = a_mission("z"), a_mission("a")
    await must(ledger, creation(first, hands_out=True), creation(second, hands_out=True))
    await put(ledger, a_mission("waits"), dead(a_mission("dead")), finished(a_mission("fine")))
    oldest = OutboxEntry(first.id, first.epoch)
    assert await ledger.totals() == Totals(live=3, outbox=2, oldest=oldest, dead_letters=1)


async def test_nobody_has_stopped_the_relay_of_a_new_ledger(fresh: Ledger) -> None:
    assert await fresh.scheduler_stopped() is None


async def test_the_relays_switch_is_kept_for_every_commander(ledger: Ledger, stage: Stage) -> None:
    rival = await stage.another()
    for stopped in (True, False, True):
        await ledger.save_scheduler(stopped=stopped)
        assert await rival.scheduler_stopped() is stopped
    await stage.wipe()
    assert await rival.scheduler_stopped() is None
