"""`missionctl apply`: the files that kubectl takes, without a cluster."""

from collections.abc import Sequence

from missionctl.cli import connecting, documents, manifests
from missionctl.cli.exits import CommandError, Exit
from missionctl.cli.manifests import Mission, Namespace, Pool
from missionctl.cli.places import Flags
from missionctl.cli.screen import Screen
from missionctl.cli.tables import STYLES
from missionctl.client import BatchItem, MissionControlSync, MissionView, Reason, Submission


def apply(flags: Flags, files: Sequence[str], namespace: str | None) -> None:
    """Read everything first, so that a mistake in the last document changes nothing."""
    to = connecting.place(flags)
    where = Namespace(asked=namespace, usual=to.namespace)
    objects = [manifests.read(document, where) for document in documents.read_all(files)]
    if not objects:
        raise CommandError(f"nothing to apply: there is no document in {', '.join(files)}", Exit.USAGE)
    with connecting.connect(to) as control:
        apply_all(objects, control, Screen(), with_names=to.is_operator)


def apply_all(
    objects: Sequence[Mission | Pool], control: MissionControlSync, screen: Screen, *, with_names: bool
) -> None:
    """Declare the pools, then submit the missions; names are the operator's to give, others have ids."""
    for pool in objects:
        if isinstance(pool, Pool):
            _declare(pool, control, screen)
    missions = [one for one in objects if isinstance(one, Mission)]
    answers = control.submit_many(one.submission if with_names else _unnamed(one.submission) for one in missions)
    pairs = zip(missions, answers, strict=True)
    refused = [mission for mission, answer in pairs if not _accepted(mission, answer, control, screen)]
    if refused:
        raise CommandError(f"{len(refused)} of {len(missions)} missions were refused", Exit.REFUSED)


def _declare(pool: Pool, control: MissionControlSync, screen: Screen) -> None:
    control.declare_pool(pool.namespace or "default", pool.name, pool.declaration)
    screen.text(f"pool/{pool.name}   declared")
    if pool.ignored:
        screen.remark(f"pool/{pool.name}: ignored, for there is no operator here: {', '.join(pool.ignored)}")


def _unnamed(submission: Submission) -> Submission:
    return submission.model_copy(update={"name": None})


def _accepted(mission: Mission, answer: BatchItem, control: MissionControlSync, screen: Screen) -> bool:
    if answer.mission is None:
        why = answer.problem.detail if answer.problem else f"status {answer.status}"
        screen.complain(f"mission/{mission.name}: {why}")
        return False
    view = _brought_about(mission, answer.mission, control)
    screen.cells(
        [(f"mission/{mission.name}   ", ""), (view.state.camel, STYLES[view.state]), (f"   {view.mission_id}", "dim")]
    )
    return True


def _brought_about(mission: Mission, view: MissionView, control: MissionControlSync) -> MissionView:
    """What may change in a living mission, for an object that was applied before."""
    wanted = mission.submission
    if view.state.is_final:
        return view
    if wanted.cancel:
        return control.cancel(view.mission_id)
    if wanted.suspend != (view.reason == Reason.SUSPENDED):
        return control.suspend(view.mission_id) if wanted.suspend else control.resume(view.mission_id)
    return view
