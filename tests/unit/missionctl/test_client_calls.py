"""One call of the client: what it sends, when it sends it again, and how it ends."""

import inspect
from collections.abc import AsyncIterator

import httpx
import pytest

from mission_contracts import rest
from mission_contracts.mission import MissionId, MissionState
from missionctl import client
from missionctl.client import ClientSecret, MissionControl, MissionControlSync, Retries, Submission
from missionctl.testing import FakeCommander, refusal

QUICK = Retries(patience_seconds=5, first_seconds=0.001, longest_seconds=0.002)
NOOP = Submission(type="noop", payload={})


@pytest.fixture
def commander() -> FakeCommander:
    return FakeCommander()


@pytest.fixture
async def control(commander: FakeCommander) -> AsyncIterator[MissionControl]:
    async with MissionControl(commander.url, transport=commander.transport, retries=QUICK) as control:
        yield control


def with_secret(commander: FakeCommander, secret: str = "s3cret") -> MissionControl:
    credentials = ClientSecret("me", secret)
    return MissionControl(commander.url, credentials, transport=commander.transport, retries=QUICK)


# Submitting.


async def test_a_submission_is_a_mission_in_queue(control: MissionControl) -> None:
    mission = await control.submit(Submission(type="resize", payload={"width": 3}, pool="gpu"))
    assert (mission.state, mission.type, mission.pool) == (MissionState.QUEUED, "resize", "gpu")


async def test_the_same_key_gives_the_same_mission(control: MissionControl) -> None:
    first, second = [await control.submit(NOOP, idempotency_key="once") for _ in range(2)]
    assert first.mission_id == second.mission_id


async def test_without_a_key_each_submission_has_one_of_its_own(
    control: MissionControl, commander: FakeCommander
) -> None:
    first, second = [await control.submit(NOOP) for _ in range(2)]
    assert first.mission_id != second.mission_id
    assert all(one.headers["idempotency-key"] for one in commander.sent("POST", "/missions"))


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(httpx.ConnectError("refused"), id="nobody listens"),
        pytest.param(httpx.ReadError("reset"), id="the connection breaks after it was sent"),
        pytest.param(refusal(503, "NotLoaded", "in a moment"), id="503"),
        pytest.param(httpx.Response(502, text="bad gateway"), id="a proxy lost it"),
        pytest.param(refusal(429, "TooMany", "slower"), id="429"),
    ],
)
async def test_a_submission_is_sent_again_with_the_same_key(
    control: MissionControl, commander: FakeCommander, failure: httpx.Response | Exception
) -> None:
    commander.fail_next(failure)
    await control.submit(NOOP)
    first, second = commander.sent("POST", "/missions")
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert len(commander.missions) == 1


async def test_2_500_submissions_travel_in_three_batches(control: MissionControl, commander: FakeCommander) -> None:
    answers = await control.submit_many(Submission(type="noop", payload={"n": n}) for n in range(2_500))
    assert len(commander.sent("POST", "/missions/batch")) == 3
    assert len({one.mission.mission_id for one in answers if one.mission}) == 2_500


async def test_a_batch_that_is_sent_again_makes_nothing_twice(
    control: MissionControl, commander: FakeCommander
) -> None:
    commander.fail_next(httpx.ReadTimeout("too slow"))
    await control.submit_many([NOOP, NOOP])
    assert len(commander.missions) == 2


# What may not be repeated.


async def test_a_suspension_that_was_perhaps_done_is_not_repeated(
    control: MissionControl, commander: FakeCommander
) -> None:
    mission = await control.submit(NOOP)
    commander.fail_next(httpx.ReadError("reset"))
    with pytest.raises(client.UnreachableError, match="may have been done or not"):
        await control.suspend(mission.mission_id)


async def test_a_suspension_that_was_surely_not_done_is_repeated(
    control: MissionControl, commander: FakeCommander
) -> None:
    mission = await control.submit(NOOP)
    commander.fail_next(httpx.ConnectError("refused"), refusal(503, "LedgerAway", "wait"))
    assert (await control.suspend(mission.mission_id)).reason == "Suspended"
    assert (await control.resume(mission.mission_id)).reason == "WaitingForSoldier"


# Giving up.


async def test_patience_ends_in_one_sentence(commander: FakeCommander) -> None:
    commander.fail_next(httpx.ConnectError("Connection refused"))
    async with MissionControl(
        commander.url, transport=commander.transport, retries=Retries(patience_seconds=0)
    ) as control:
        with pytest.raises(client.UnreachableError, match=r"no Commander answers at http://commander\.test"):
            await control.get("x")


async def test_a_longer_retry_after_than_the_patience_is_the_last_word(commander: FakeCommander) -> None:
    commander.fail_next(refusal(503, "LedgerAway", "come back later", headers={"Retry-After": "3600"}))
    async with MissionControl(commander.url, transport=commander.transport, retries=QUICK) as control:
        with pytest.raises(client.UnavailableError, match="come back later") as caught:
            await control.get("x")
    assert caught.value.problem.retry_after_seconds == 3600
    assert len(commander.requests) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, client.InvalidError),
        (403, client.NotAllowedError),
        (404, client.NotFoundError),
        (409, client.ConflictError),
        (413, client.InvalidError),
        (422, client.InvalidError),
        (418, client.RefusedError),
    ],
)
async def test_a_problem_is_the_exception_that_fits_with_its_sentence(
    control: MissionControl, commander: FakeCommander, status: int, kind: type[client.RefusedError]
) -> None:
    commander.fail_next(refusal(status, "Code", "this is why", headers={"Request-Id": "r-1"}))
    with pytest.raises(kind, match="this is why") as caught:
        await control.get("x")
    assert (caught.value.status, caught.value.code, caught.value.problem.request_id) == (status, "Code", "r-1")


async def test_the_field_is_named_where_the_sentence_does_not(control: MissionControl) -> None:
    with pytest.raises(client.InvalidError, match=r"^pool: "):
        await control.submit(NOOP.model_copy(update={"pool": "Not A Label"}))


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(httpx.Response(200, text="<html>hello</html>"), id="a web page"),
        pytest.param(httpx.Response(404, text="not found"), id="a 404 of somebody else"),
        pytest.param(httpx.Response(200, json={"mission_id": 3}), id="another shape"),
    ],
)
async def test_somebody_else_at_that_address_is_named(
    control: MissionControl, commander: FakeCommander, answer: httpx.Response
) -> None:
    commander.fail_next(answer)
    with pytest.raises(client.StrangeAnswerError, match="not as a Commander does"):
        await control.get("x")


@pytest.mark.parametrize("url", ["localhost:8484", "ftp://host", "http://", ""])
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="write it like http://"):
        MissionControlSync(url)


# Tokens.


async def test_a_token_is_got_once_for_many_calls() -> None:
    commander = FakeCommander(client_secret="s3cret")
    async with with_secret(commander) as control:
        for _ in range(3):
            await control.submit(NOOP)
    assert len(commander.sent("POST", "/token")) == 1


async def test_a_token_is_renewed_before_it_ends() -> None:
    commander = FakeCommander(client_secret="s3cret", token_seconds=0)
    async with with_secret(commander) as control:
        await control.submit(NOOP)
        await control.submit(NOOP)
    assert len(commander.sent("POST", "/token")) == 2
    assert all(one.headers["authorization"] for one in commander.sent("POST", "/missions"))


async def test_a_token_that_is_not_taken_any_more_is_replaced_once() -> None:
    commander = FakeCommander(client_secret="s3cret")
    async with with_secret(commander) as control:
        await control.submit(NOOP)
        commander.revoke_tokens()
        await control.submit(NOOP)
    assert len(commander.sent("POST", "/token")) == 2
    assert len(commander.missions) == 2


async def test_a_wrong_secret_is_refused_and_not_tried_again() -> None:
    commander = FakeCommander(client_secret="s3cret")
    async with with_secret(commander, "wrong") as control:
        with pytest.raises(client.NotAllowedError, match="client id or secret is wrong"):
            await control.submit(NOOP)
    assert len(commander.requests) == 1


def test_secrets_are_not_printed() -> None:
    assert "s3cret" not in repr(ClientSecret("me", "s3cret"))


# Reading.


async def test_a_list_is_read_to_its_end(control: MissionControl) -> None:
    made = [(await control.submit(NOOP)).mission_id for _ in range(7)]
    assert [one.mission_id async for one in control.missions()] == made[::-1]


async def test_a_list_shows_what_was_asked_for(control: MissionControl, commander: FakeCommander) -> None:
    done, other = await control.submit(NOOP), await control.submit(NOOP)
    commander.finish(done.mission_id)
    chosen = client.Filter(state=MissionState.COMPLETED)
    assert [one.mission_id async for one in control.missions(chosen)] == [done.mission_id]
    assert other.mission_id in commander.missions


async def test_a_page_leads_to_the_next_one(control: MissionControl) -> None:
    await control.submit_many([NOOP] * 3)
    first = await control.page(limit=2)
    second = await control.page(limit=2, cursor=first.cursor)
    assert (len(first.missions), len(second.missions), second.cursor) == (2, 1, None)


async def test_lookup_answers_in_order_with_none_for_the_unknown(control: MissionControl) -> None:
    known = await control.submit(NOOP)
    assert await control.lookup([MissionId("nobody"), known.mission_id]) == [None, known]


async def test_waiting_ends_when_the_mission_does(control: MissionControl, commander: FakeCommander) -> None:
    commander.on_wait = lambda mission_id: void(commander.finish(mission_id, result={"answer": 42}))
    mission = await control.submit(NOOP)
    final = await control.wait(mission.mission_id, timeout_seconds=60)
    assert client.result_of(final) == {"answer": 42}
    assert "wait" in commander.requests[-1].url.params  # the answer that says so is the last word


async def test_waiting_for_many_holds_one_question_at_a_time(control: MissionControl, commander: FakeCommander) -> None:
    made = [item.mission.mission_id for item in await control.submit_many([NOOP] * 5) if item.mission]
    commander.on_wait = FinishingInTwoRounds(commander, made)
    final = await control.wait_all(made, timeout_seconds=60)
    assert [one.mission_id for one in final] == made
    assert all(one.state.is_final for one in final)
    assert sum("wait" in one.url.params for one in commander.requests) == 2


async def test_waiting_too_long_names_what_is_unfinished(control: MissionControl) -> None:
    mission = await control.submit(NOOP)
    with pytest.raises(client.NotFinishedError, match="did not finish within 0 s") as caught:
        await control.wait(mission.mission_id, timeout_seconds=0)
    assert [one.mission_id for one in caught.value.missions] == [mission.mission_id]


async def test_waiting_for_an_unknown_mission_is_refused(control: MissionControl) -> None:
    with pytest.raises(client.NotFoundError):
        await control.wait("nobody", timeout_seconds=60)


async def test_a_commander_that_is_down_still_says_how_it_is(control: MissionControl, commander: FakeCommander) -> None:
    commander.health = rest.Health(status="down", parts={"ledger": "down"}, durability="strong")
    assert (await control.health()).status == "down"


async def test_pools_are_declared_shown_and_forgotten(control: MissionControl) -> None:
    await control.declare_pool("default", "gpu", rest.PoolDeclaration(paused=True))
    assert [(pool.name, pool.paused) for pool in await control.pools()] == [("gpu", True)]
    await control.delete_pool("default", "gpu")
    assert await control.pools() == ()


async def test_rejected_messages_are_read(control: MissionControl, commander: FakeCommander) -> None:
    commander.rejected = [
        rest.RejectedMessage(
            rejected_at=None, queue="missions.status", defect="not JSON", reason="it is no JSON", bytes=1, body="?"
        )
    ]
    page = await control.rejected(limit=5)
    assert (page.count, page.rejected) == (1, tuple(commander.rejected))


async def test_ids_with_slashes_stay_one_path_segment(control: MissionControl, commander: FakeCommander) -> None:
    with pytest.raises(client.NotFoundError):
        await control.get("../pools")
    assert commander.requests[-1].url.raw_path == b"/missions/..%2Fpools"


# Both clients.


def test_both_clients_have_the_same_surface() -> None:
    assert surface(MissionControl) == surface(MissionControlSync)


def test_the_blocking_client_does_the_same(commander: FakeCommander) -> None:
    commander.fail_next(httpx.ConnectError("refused"))
    commander.on_wait = lambda mission_id: void(commander.finish(mission_id))
    with MissionControlSync(commander.url, transport=commander.transport, retries=QUICK) as control:
        mission = control.submit(NOOP)
        assert control.wait(mission.mission_id, timeout_seconds=60).state is MissionState.COMPLETED
        assert [one.mission_id for one in control.missions()] == [mission.mission_id]
        assert control.cancel(mission.mission_id).state is MissionState.COMPLETED


def surface(kind: type) -> dict[str, list[str]]:
    methods = inspect.getmembers(kind, inspect.isfunction)
    return {name: list(inspect.signature(one).parameters) for name, one in methods if not name.startswith("_")}


def void(_: object) -> None:
    """Drop a value where a callback has none."""


class FinishingInTwoRounds:
    """Finishes the first mission at the first wait, all others at the second."""

    def __init__(self, commander: FakeCommander, made: list[MissionId]) -> None:
        self._commander = commander
        self._rounds = iter([made[:1], made[1:]])

    def __call__(self, _: MissionId) -> None:
        for mission_id in next(self._rounds):
            self._commander.finish(mission_id)
