"""What the CRD's own rules cannot hold, because a payload's fields are unknown to its schema."""

from typing import Final

from mission_contracts.resources import GROUP, MISSION, VERSION
from mission_contracts.spec import MAX_PAYLOAD_BYTES, MAX_STORED_BYTES
from tools.generate.structural import Schema

NAME: Final = f"payloads.{MISSION.full_name}"

UNCHANGED_MESSAGE: Final = (
    "spec.payload cannot change once the object exists: make a new Mission with another name, "
    "or delete this one first (which cancels it)"
)

# CEL has no JSON encoder, but formatting a value writes JSON with a space after each comma. Without those spaces the
# text is as long as the JSON that the Commander counts, or shorter by the spaces that the payload's own texts have
# after commas, so nothing is refused here that the Commander would take. (Numbers beyond 10²¹ are written out in full.)
PAYLOAD_BYTES: Final = "bytes('%s'.format([object.spec.payload]).replace(', ', ',')).size()"

# The API server's own encoder writes <, > and & as \\u003c and the like.
_STORED: Final = "bytes('%s'.format([{}]){}).size()"
_ESCAPED: Final = "".join(f".replace('{character}', '123456')" for character in "<>&")
STORED_BYTES: Final = (
    f"({_STORED.format('object.spec.payload', _ESCAPED)} + (has(object.metadata.annotations) ? "
    f"{_STORED.format('object.metadata.annotations', _ESCAPED)} : 0))"
)
_SAME_ANNOTATIONS: Final = (
    "(!has(object.metadata.annotations) || "
    "(has(oldObject.metadata.annotations) && object.metadata.annotations == oldObject.metadata.annotations))"
)


def manifests() -> tuple[Schema, Schema]:
    """Give the policy and its binding."""
    return _policy(), _binding()


def _policy() -> Schema:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": NAME, "labels": {"app.kubernetes.io/part-of": "mission-control"}},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": [GROUP],
                        "apiVersions": [VERSION],
                        "resources": [MISSION.plural],
                        "operations": ["CREATE", "UPDATE"],
                    }
                ]
            },
            "validations": [_unchanged(), _bounded(), _storable()],
        },
    }


def _unchanged() -> Schema:
    return {
        "expression": "oldObject == null || !has(oldObject.spec.payload) || "
        "object.spec.payload == oldObject.spec.payload",
        "reason": "Invalid",
        "message": UNCHANGED_MESSAGE,
    }


def _bounded() -> Schema:
    return {
        "expression": f"oldObject != null || {PAYLOAD_BYTES} <= {MAX_PAYLOAD_BYTES}",
        "reason": "Invalid",
        "messageExpression": f"'spec.payload has ' + string({PAYLOAD_BYTES}) + ' bytes as JSON, "
        f"at most {MAX_PAYLOAD_BYTES} are allowed: store the data elsewhere and give a reference to it'",
    }


def _storable() -> Schema:
    """Leave room for the status. An object that is there already can be changed in all else."""
    return {
        "expression": f"oldObject != null && {_SAME_ANNOTATIONS} || {STORED_BYTES} <= {MAX_STORED_BYTES}",
        "reason": "Invalid",
        "messageExpression": f"'spec.payload and the annotations take ' + string({STORED_BYTES}) + ' bytes as the "
        f"cluster stores them, where <, > and & take six each, at most {MAX_STORED_BYTES} are allowed: "
        "store the data elsewhere and give a reference to it'",
    }


def _binding() -> Schema:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": NAME, "labels": {"app.kubernetes.io/part-of": "mission-control"}},
        "spec": {"policyName": NAME, "validationActions": ["Deny"]},
    }
