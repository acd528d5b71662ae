"""docs/reference/states.md: the state diagram and the reasons, from the transition table that the Commander obeys."""

from collections.abc import Iterator
from itertools import groupby
from typing import Final

from mission_commander.domain.life import table
from mission_commander.domain.life.table import PhaseTransition
from mission_commander.domain.record import Phase
from mission_contracts.mission import MissionState, Reason
from mission_contracts.reasons import MEANINGS

_HEADING: Final = """# States and reasons

A mission moves only along the arrows below: the Commander's transition table refuses everything else, and on an object
the API server itself refuses a status that is older, or any change of a final one. Within Queued and InProgress, the
small states say who acts next.
"""

_NAMES: Final = {Phase.WAITING: "Waiting", Phase.OUT: "HandedOut", Phase.CLAIMED: "Claimed"}
_ACTORS: Final = {
    Phase.WAITING: "the Commander: it waits for a time, a pool, a lane or a person",
    Phase.OUT: "a soldier: the order is in the outbox or in its pool's queue",
    Phase.CLAIMED: "the soldier that holds the claim",
}


def page() -> str:
    """Return the page's text."""
    parts = [_HEADING, "```mermaid", *_diagram(), "```", "", *_phases(), "", *_arrows(), "", *_reasons(), ""]
    return "\n".join(parts)


def _diagram() -> Iterator[str]:
    yield "stateDiagram-v2"
    yield f"    [*] --> {_NAMES[Phase.WAITING]}: accepted"
    live = [(table.state_of(phase, Reason.RUNNING), phase) for phase in _NAMES]
    for state, phases in groupby(live, key=lambda one: one[0]):
        yield f"    state {state.camel} {{"
        yield from (f"        {_NAMES[phase]}" for _, phase in phases)
        yield "    }"
    for step in table.PHASE_TRANSITIONS:
        if step.after is Phase.FINAL:
            yield from (
                f"    {_NAMES[step.before]} --> {target}: {', '.join(_reasons_of(step, target))}"
                for target in _targets(step)
            )
        elif step.before is not step.after:
            yield f"    {_NAMES[step.before]} --> {_NAMES[step.after]}: {step.when}"
    yield from (f"    {state.camel} --> [*]" for state in MissionState if state.is_final)


def _targets(step: PhaseTransition) -> list[str]:
    """Where an arrow leads: a final phase is several states outside."""
    if step.after is not Phase.FINAL:
        return [_NAMES[step.after]]
    return list(dict.fromkeys(table.state_of(step.after, reason).camel for reason in step.reasons))


def _reasons_of(step: PhaseTransition, state: str) -> list[str]:
    return [reason.value for reason in step.reasons if table.state_of(step.after, reason).camel == state]


def _phases() -> Iterator[str]:
    yield "| State | Shown as | Who acts next |"
    yield "| --- | --- | --- |"
    for phase, name in _NAMES.items():
        yield f"| {name} | {table.state_of(phase, Reason.RUNNING).camel} | {_ACTORS[phase]} |"


def _arrows() -> Iterator[str]:
    yield "## Transitions\n"
    yield "| From | To | When | Reasons afterwards |"
    yield "| --- | --- | --- | --- |"
    for step in table.PHASE_TRANSITIONS:
        reasons = ", ".join(reason.value for reason in step.reasons)
        yield f"| {_NAMES[step.before]} | {', '.join(_targets(step))} | {step.when} | {reasons} |"


def _reasons() -> Iterator[str]:
    yield "## Reasons\n"
    yield "| Reason | State | Meaning |"
    yield "| --- | --- | --- |"
    for reason, meaning in MEANINGS.items():
        yield f"| `{reason.value}` | {', '.join(_states(reason))} | {meaning} |"


def _states(reason: Reason) -> list[str]:
    if reason in {Reason.REFUSED, Reason.STATUS_REFUSED}:
        return [MissionState.FAILED.camel if reason is Reason.REFUSED else "final"]
    shown = (table.state_of(step.after, reason) for step in table.PHASE_TRANSITIONS if reason in step.reasons)
    return list(dict.fromkeys(state.camel for state in shown)) or ["Queued"]
