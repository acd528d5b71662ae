"""The parts of the demo that need no process: what it chooses, what it shows, and when it calls itself failed."""

import io
from pathlib import Path
from typing import Any

import pytest
import yaml
from tools.demo import services
from tools.demo.clusters import Source, choose
from tools.demo.endings import ENDINGS, surprises
from tools.demo.errors import DemoError
from tools.demo.telling import Teller
from tools.demo.watching import HEADER, Look, look, news

SAMPLES = Path(__file__).parents[3] / "manifests" / "samples"


class TestTheApiServer:
    @pytest.mark.parametrize(
        ("is_found", "kind_works", "can_build", "source"),
        [
            pytest.param(True, True, True, Source.FOUND, id="what is here is the quickest"),
            pytest.param(False, True, True, Source.KIND, id="a kind cluster is quicker than a build"),
            pytest.param(False, False, True, Source.BUILT, id="with Go alone it is built"),
            pytest.param(False, False, False, Source.NONE, id="with Python alone there is none"),
        ],
    )
    def test_it_comes_from(self, *, is_found: bool, kind_works: bool, can_build: bool, source: Source) -> None:
        assert choose(is_found=is_found, kind_works=kind_works, can_build=can_build) is source


class TestTheServers:
    def test_none_named_is_none_used(self) -> None:
        assert services.servers_in({}) is None

    def test_both_named_are_used(self) -> None:
        servers = services.servers_in({"RABBITMQ_URL": "amqp://host", "REDIS_URL": "redis://host"})
        assert servers == services.Servers(rabbitmq_url="amqp://host", redis_url="redis://host")

    @pytest.mark.parametrize("alone", ["RABBITMQ_URL", "REDIS_URL"])
    def test_one_alone_is_a_mistake(self, alone: str) -> None:
        with pytest.raises(DemoError, match="set both"):
            services.servers_in({alone: "somewhere"})

    def test_secrets_do_not_print_themselves(self) -> None:
        assert "hush" not in repr(services.Servers(rabbitmq_url="amqp://hush", redis_url="redis://hush"))


class TestTheWatch:
    @pytest.mark.parametrize(
        ("line", "cells"),
        [
            ("hello   Queued      noop  default                     0s", "Queued|noop|default|||"),
            ("hello   InProgress  noop  default  1                  0s", "InProgress|noop|default|1||"),
            ("hello   InProgress  noop  default  1  40              1s", "InProgress|noop|default|1|40|"),
            ("hello   Completed   noop  default  1  100  1.03s      9s", "Completed|noop|default|1|100|1.03s"),
            ("hello   Failed      noop  default  2       4m05s    6m1s", "Failed|noop|default|2||4m05s"),
            ("hello   Cancelled   noop  default          0.00s      0s", "Cancelled|noop|default|||0.00s"),
        ],
    )
    def test_empty_cells_are_found_again(self, line: str, cells: str) -> None:
        assert look(line) == Look(("hello", *cells.split("|")))

    def test_lines_that_show_nothing_new_are_left_out(self) -> None:
        lines = [
            "NAME   STATE        TYPE   POOL     ATTEMPT   PROGRESS   DURATION   AGE\n",
            "hello               noop   default                                  0s\n",
            "hello  InProgress   noop   default  1                               0s\n",
            "hello  InProgress   noop   default  1                               1s\n",
            "other  InProgress   noop   default  1                               1s\n",
            "\n",
            "hello  Completed    noop   default  1                    1.00s      1s\n",
        ]
        assert [found.cells[:2] for found in news(lines)] == [
            ("NAME", "STATE"),
            ("hello", "InProgress"),
            ("other", "InProgress"),
            ("hello", "Completed"),
        ]

    def test_all_lines_have_the_same_columns(self) -> None:
        short, long = Look(("a", "Queued", "noop", "default", "1", "", "")), Look(HEADER)
        assert short.text().index("noop") == long.text().index("TYPE")
        assert short.text().index("default") == long.text().index("POOL")


class TestTheTelling:
    def test_a_pipe_gets_plain_text(self) -> None:
        out = io.StringIO()
        Teller(out).look(Look(("hello", "Completed", "noop", "default", "1", "", "1.00s")), 1.25)
        assert out.getvalue().split() == ["1.2s", "hello", "Completed", "noop", "default", "1", "1.00s"]

    def test_a_terminal_gets_the_state_in_colour(self) -> None:
        out = io.StringIO()
        Teller(out, colours=True).rows("hello  Failed  noop")
        assert "\x1b[31mFailed\x1b[0m" in out.getvalue()


def an_end(name: str, state: str, reason: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"state": state, "reason": reason}}


class TestTheEndings:
    def test_every_sample_has_one(self) -> None:
        documents = [one for file in SAMPLES.glob("*.yaml") for one in yaml.safe_load_all(file.read_text())]
        assert {one["metadata"]["name"] for one in documents} == set(ENDINGS)

    def test_as_they_should_be_they_surprise_nobody(self) -> None:
        assert surprises([an_end(name, *ending) for name, ending in ENDINGS.items()]) == []

    def test_another_end_is_named(self) -> None:
        ends = [an_end(name, *ending) for name, ending in ENDINGS.items() if name != "hello"]
        assert surprises([*ends, an_end("hello", "Failed", "GaveUp")]) == [
            "hello should end as Completed Completed, but is Failed GaveUp"
        ]

    def test_a_missing_mission_is_named(self) -> None:
        ends = [an_end(name, *ending) for name, ending in ENDINGS.items() if name != "hello"]
        assert surprises(ends) == ["hello should end as Completed Completed, but is absent"]

    def test_a_mission_without_status_is_named(self) -> None:
        ends = [an_end(name, *ending) for name, ending in ENDINGS.items() if name != "hello"]
        (said,) = surprises([*ends, {"metadata": {"name": "hello"}}])
        assert "without a state" in said
