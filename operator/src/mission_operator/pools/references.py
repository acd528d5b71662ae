"""Which objects of its namespace a pool's template may name. Pure.

The operator makes the pod, so that without this a right on SoldierPools alone would be as strong as a right to make
pods: the installation's keys, or the Secrets of any other application, would be a variable away.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

import msgspec

from mission_contracts.resources import PodTemplate
from mission_contracts.resources.pod import EnvironmentSource, Volume

SECRET: Final = "Secret"  # noqa: S105 - a kind of object
CONFIG_MAP: Final = "ConfigMap"
CLAIM: Final = "PersistentVolumeClaim"
ACCOUNT: Final = "ServiceAccount"


class Reference(msgspec.Struct, frozen=True):
    """One object that a template names, and in which field."""

    kind: str
    name: str
    field: str


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """Names, or beginnings of names that end in `*`."""

    secrets: tuple[str, ...] = ()
    config_maps: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    reserved: tuple[str, ...] = ()
    """Never, whatever the others say: what the installation itself is made of."""

    def of(self, kind: str) -> tuple[str, ...]:
        """What is allowed of this kind."""
        return {SECRET: self.secrets, CONFIG_MAP: self.config_maps, CLAIM: self.claims, ACCOUNT: self.accounts}[kind]

    def permits(self, reference: Reference) -> bool:
        return _is_among(reference.name, self.of(reference.kind)) and not _is_among(reference.name, self.reserved)


def why_refused(template: PodTemplate | None, allowance: Allowance, own_account: str) -> str:
    """Say which reference a pool may not have, or nothing; soldiers may always run as the installation's account."""
    if template is None:
        return ""
    own = Reference(ACCOUNT, own_account, _ACCOUNT_FIELD)
    refused = (one for one in references(template) if one != own and not allowance.permits(one))
    found = next(refused, None)
    return "" if found is None else _sentence(found, allowance)


def references(template: PodTemplate) -> Iterator[Reference]:
    """List every object that the template names."""
    if template.service_account_name is not None:
        yield Reference(ACCOUNT, template.service_account_name, _ACCOUNT_FIELD)
    yield from chain.from_iterable(
        _of_a_variable(one.value_from, f"env[{one.name}]") for one in template.env or () if one.value_from
    )
    for number, source in enumerate(template.env_from or ()):
        if source.secret_ref:
            yield Reference(SECRET, source.secret_ref.name, f"envFrom[{number}]")
        if source.config_map_ref:
            yield Reference(CONFIG_MAP, source.config_map_ref.name, f"envFrom[{number}]")
    yield from chain.from_iterable(map(_of_a_volume, template.volumes or ()))
    for number, secret in enumerate(template.image_pull_secrets or ()):
        yield Reference(SECRET, secret.name, f"imagePullSecrets[{number}]")


_ACCOUNT_FIELD: Final = "serviceAccountName"


def _of_a_variable(source: EnvironmentSource, field: str) -> Iterator[Reference]:
    if source.secret_key_ref:
        yield Reference(SECRET, source.secret_key_ref.name, field)
    if source.config_map_key_ref:
        yield Reference(CONFIG_MAP, source.config_map_key_ref.name, field)


def _of_a_volume(volume: Volume) -> Iterator[Reference]:
    field = f"volumes[{volume.name}]"
    if volume.secret:
        yield Reference(SECRET, volume.secret.secret_name, field)
    if volume.config_map:
        yield Reference(CONFIG_MAP, volume.config_map.name, field)
    if volume.persistent_volume_claim:
        yield Reference(CLAIM, volume.persistent_volume_claim.claim_name, field)


def _is_among(name: str, patterns: Iterable[str]) -> bool:
    return any(name.startswith(one[:-1]) if one.endswith("*") else name == one for one in patterns)


def _sentence(refused: Reference, allowance: Allowance) -> str:
    return (
        f"spec.template.{refused.field} names the {refused.kind} {refused.name}, which pools may not use, so nothing "
        f"was deployed: name one that they may ({', '.join(allowance.of(refused.kind)) or 'none'}), or have the "
        "administrator of the installation allow it"
    )
