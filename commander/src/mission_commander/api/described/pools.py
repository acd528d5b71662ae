"""What the routes under /pools promise."""

from collections.abc import Iterable
from typing import Final

from mission_commander.api import bodies
from mission_commander.api.described import examples, parameters
from mission_commander.api.described.operation import Answer, Body, Operation
from mission_commander.api.doors import PEOPLE
from mission_contracts.rest import PoolDeclaration, Pools, PoolView
from mission_contracts.tokens import Role

GROUP: Final = "Pools"
KEEPERS: Final = (Role.OPERATOR, Role.ADMIN)
_BAD_NAME: Final = {422: "`BadName`: namespace and name are DNS labels."}


def operations() -> Iterable[Operation]:
    yield Operation(
        method="GET",
        path="/pools",
        name="listPools",
        group=GROUP,
        roles=PEOPLE,
        summary="Show the pools that one may use, with their numbers and soldiers",
        answers=(Answer(status=200, text="The pools.", kind=Pools, example={"pools": [examples.POOL]}),),
    )
    yield Operation(
        method="PUT",
        path="/pools/{namespace}/{name}",
        name="declarePool",
        group=GROUP,
        roles=KEEPERS,
        summary="Declare a pool: its queues exist when the answer arrives",
        parameters=(parameters.POOL_NAMESPACE, parameters.POOL_NAME),
        body=Body(kind=PoolDeclaration, limit=bodies.ONE_MISSION_BYTES, example={"replicas": 2, "max_replicas": 10}),
        answers=(Answer(status=200, text="The pool.", kind=PoolView, example=examples.POOL),),
        problems=_BAD_NAME,
    )
    yield Operation(
        method="DELETE",
        path="/pools/{namespace}/{name}",
        name="removePool",
        group=GROUP,
        roles=KEEPERS,
        summary="Forget a pool; its missions wait with reason NoPool",
        parameters=(parameters.POOL_NAMESPACE, parameters.POOL_NAME),
        answers=(Answer(status=204, text="There is no such pool, now or before."),),
        problems=_BAD_NAME,
    )
