"""Documents to things that can be applied: a Mission becomes a submission, a SoldierPool a declaration."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError

from mission_contracts import strict_json
from mission_contracts.names import DNS_LABEL_PATTERN, OBJECT_NAME_PATTERN, SENTENCES
from mission_contracts.resources import API_VERSION, MISSION, SOLDIER_POOL, SoldierPoolSpec
from mission_contracts.resources.mission import CHANGEABLE
from mission_contracts.rest import PoolDeclaration, Submission
from mission_contracts.spec import MissionSpec
from mission_contracts.strict_json import StrictJsonError
from missionctl.cli.documents import Document
from missionctl.cli.exits import CommandError, Exit

ModelT = TypeVar("ModelT", bound=BaseModel)

FIELDS: Final = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})
NAMES: Final = {MISSION.kind: OBJECT_NAME_PATTERN, SOLDIER_POOL.kind: DNS_LABEL_PATTERN}

MAX_KEY: Final = 255

_canonical: Final = msgspec.json.Encoder(order="sorted")


class Namespace(msgspec.Struct, frozen=True):
    """Where objects go that do not say so: `asked` was typed and must not contradict them, `usual` may."""

    asked: str | None = None
    usual: str | None = None


class Mission(msgspec.Struct, frozen=True, kw_only=True):
    """A Mission to submit."""

    name: str
    submission: Submission


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """A SoldierPool to declare; `ignored` is what only an operator could do."""

    name: str
    namespace: str | None
    declaration: PoolDeclaration
    ignored: tuple[str, ...]


def read(document: Document, namespace: Namespace) -> Mission | Pool:
    """Understand a document, or complain about the line that is wrong."""
    if document.content.get("apiVersion") != API_VERSION:
        document.refuse(f"apiVersion must be {API_VERSION}", at=("apiVersion",))
    kind = document.content.get("kind")
    if not isinstance(kind, str) or kind not in NAMES:
        document.refuse(
            f'kind "{kind}" is not served here: {" and ".join(NAMES)} are, everything else needs a cluster and kubectl',
            at=("kind",),
        )
    for field in document.content.keys() - FIELDS:
        document.refuse(f'unknown field "{field}"', at=(field,))
    return (_mission if kind == MISSION.kind else _pool)(document, namespace)


def _mission(document: Document, namespace: Namespace) -> Mission:
    name, place = _name(document, NAMES[MISSION.kind]), _namespace(document, namespace)
    spec = _spec(document, MissionSpec).model_dump(exclude_unset=True)
    key = _key(name, place, document.content["spec"])
    submission = Submission(**spec, namespace=place, name=name, idempotency_key=key)
    return Mission(name=name, submission=submission)


def _pool(document: Document, namespace: Namespace) -> Pool:
    name, place = _name(document, NAMES[SOLDIER_POOL.kind]), _namespace(document, namespace)
    spec = _spec(document, SoldierPoolSpec)
    ignored = tuple(f"spec.{field}" for field in document.content.get("spec") or {} if field != "paused")
    return Pool(name=name, namespace=place, declaration=PoolDeclaration(paused=spec.paused), ignored=ignored)


def _name(document: Document, pattern: str) -> str:
    name = _metadata(document).get("name")
    if name is None:
        document.refuse(
            "metadata.name is missing: by its name the same object, applied again, is the same mission "
            "(`missionctl run` makes a new one each time)",
            at=("metadata", "name"),
        )
    if not isinstance(name, str) or not re.fullmatch(pattern, name):
        document.refuse(
            f'metadata.name "{name}" is no name: lower-case letters, digits and -, a letter or digit at both ends',
            at=("metadata", "name"),
        )
    return name


def _namespace(document: Document, namespace: Namespace) -> str | None:
    own = _metadata(document).get("namespace")
    if own is None:
        return _checked(namespace.asked or namespace.usual)
    if not isinstance(own, str) or not re.fullmatch(DNS_LABEL_PATTERN, own):
        document.refuse(f'metadata.namespace "{own}" is no namespace', at=("metadata", "namespace"))
    if namespace.asked not in (None, own):
        document.refuse(
            f'metadata.namespace is "{own}" and --namespace says "{namespace.asked}": leave one of them out',
            at=("metadata", "namespace"),
        )
    return own


def _checked(namespace: str | None) -> str | None:
    if namespace is not None and not re.fullmatch(DNS_LABEL_PATTERN, namespace):
        raise CommandError(f'"{namespace}" is no namespace: it {SENTENCES[DNS_LABEL_PATTERN]}', Exit.USAGE)
    return namespace


def _metadata(document: Document) -> Mapping[str, Any]:
    metadata = document.content.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _spec(document: Document, model: type[ModelT]) -> ModelT:
    # As the API server would: camelCase only, and text is no number.
    try:
        text = strict_json.encode(document.content.get("spec", {}), name="spec")
        return model.model_validate_json(text, strict=True, by_alias=True, by_name=False)
    except StrictJsonError as error:
        document.refuse(str(error), at=("spec",))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = ("spec", *first["loc"])
        document.refuse(f"{'.'.join(map(str, path))}: {first['msg']}", at=path)


def _key(name: str, namespace: str | None, spec: Mapping[str, Any]) -> str:
    """The object's identity: its name, and all of its spec that cannot change in a living Mission."""
    fixed = {field: value for field, value in spec.items() if field not in CHANGEABLE}
    digest = hashlib.blake2b(_canonical.encode(fixed), digest_size=12).hexdigest()
    key = f"{namespace or ''}/{name}:{digest}"
    # A name may be as long as a key may be.
    return key if len(key) <= MAX_KEY else hashlib.blake2b(key.encode(), digest_size=32).hexdigest()
