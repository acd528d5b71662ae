"""Few frames, and never a wrong one: a model of the broker checks every sequence of words."""

from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands, frame

from mission_broker.rabbitmq.acknowledgements import Acknowledgements

WORDS = ("ack", "give_back", "dead_letter")


class BrokerModel:
    """What a broker does with the frames; like RabbitMQ it refuses a tag that is not open."""

    def __init__(self, count: int) -> None:
        self.open = set(range(1, count + 1))
        self.settled: dict[int, str] = {}
        self.frames = 0

    def take(self, data: bytes) -> None:
        while data:
            consumed, _, value = frame.unmarshal(data)
            data = data[consumed:]
            self.frames += 1
            self._settle(value)

    def _settle(self, value: object) -> None:
        assert isinstance(value, commands.Basic.Ack | commands.Basic.Nack | commands.Basic.Reject)
        tag = value.delivery_tag
        assert tag in self.open, f"406: unknown delivery tag {tag}"
        names = {commands.Basic.Ack: "ack", commands.Basic.Nack: "give_back", commands.Basic.Reject: "dead_letter"}
        tags = {each for each in self.open if each <= tag} if getattr(value, "multiple", False) else {tag}
        self.open -= tags
        self.settled |= dict.fromkeys(tags, names[type(value)])


@given(st.data())
def test_every_delivery_ends_as_was_said_of_it(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 40))
    order = data.draw(st.permutations(range(1, count + 1)))
    said = order[: data.draw(st.integers(0, count))]
    words, broker = Acknowledgements(1), BrokerModel(count)
    expected = {}
    for tag in said:
        word = data.draw(st.sampled_from(WORDS))
        getattr(words, word)(tag)
        expected[tag] = word
        if data.draw(st.booleans()):
            broker.take(words.drain())
    broker.take(words.drain())

    assert broker.settled == expected


def test_a_finished_prefix_is_one_frame() -> None:
    words, broker = Acknowledgements(1), BrokerModel(1_000)
    for tag in range(1, 1_001):
        words.ack(tag)
    broker.take(words.drain())

    assert (broker.frames, len(broker.settled)) == (1, 1_000)


def test_one_that_is_still_held_is_never_swallowed() -> None:
    words, broker = Acknowledgements(1), BrokerModel(5)
    for tag in (2, 3, 4, 5):
        words.ack(tag)
    broker.take(words.drain())

    assert broker.open == {1}
    words.ack(1)
    broker.take(words.drain())
    assert not broker.open


def test_nothing_said_is_nothing_sent() -> None:
    assert Acknowledgements(1).drain() == b""
