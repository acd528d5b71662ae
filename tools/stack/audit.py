"""What an API server noted of service accounts' requests, and what their roles grant: the two should be the same."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

POLICY: Final = """\
# Who asked for what, without what was said: of service accounts, but for the cluster's own controllers.
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  userGroups: ["system:serviceaccounts:kube-system"]
- level: Metadata
  userGroups: ["system:serviceaccounts"]
- level: None
"""

CREATED: Final = 201
OF_EVERYBODY: Final = frozenset({"selfsubjectreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews"})


@dataclass(frozen=True, order=True)
class Verb:
    """One thing that one may do to one kind of object."""

    group: str
    resource: str
    """With its subresource: `missions/status`."""
    verb: str

    def __str__(self) -> str:
        return f"{self.verb:<7} {self.resource}{f'.{self.group}' if self.group else ''}"


def flags(folder: Path) -> tuple[str, ...]:
    """Write the policy, and give the API server's flags; the log is `log_in(folder)`."""
    policy = folder / "audit-policy.yaml"
    policy.write_text(POLICY)
    return (f"--audit-policy-file={policy}", f"--audit-log-path={log_in(folder)}", "--audit-log-maxsize=1000")


def log_in(folder: Path) -> Path:
    return folder / "audit.log"


def granted(rules: Iterable[Mapping[str, Any]]) -> frozenset[Verb]:
    """Give what a Role's rules grant; a wildcard stands for itself, so that it is never among what was seen."""
    return frozenset(
        Verb(group, resource, verb)
        for rule in rules
        for group in rule.get("apiGroups", ())
        for resource in rule.get("resources", ())
        for verb in rule["verbs"]
    )


def seen(log: Path, account: str) -> frozenset[Verb]:
    """Give what one service account (`namespace:name`, or `:name` for every namespace) asked for and was given."""
    with log.open() as lines:
        events = [json.loads(line) for line in lines]
    return frozenset(_verbs(event for event in events if _is_allowed(event, account)))


def _is_allowed(event: Mapping[str, Any], account: str) -> bool:
    user: str = event["user"]["username"].removeprefix("system:serviceaccount:")
    is_its = user.endswith(account) if account.startswith(":") else user == account
    return is_its and bool(event.get("annotations", {}).get("authorization.k8s.io/decision") == "allow")


def _verbs(events: Iterable[Mapping[str, Any]]) -> Iterator[Verb]:
    for event in events:
        what = event.get("objectRef")
        if what is None or what["resource"] in OF_EVERYBODY:
            continue  # discovery, which everybody may
        resource = "/".join(filter(None, (what["resource"], what.get("subresource"))))
        group = what.get("apiGroup", "")
        yield Verb(group, resource, event["verb"])
        if event["verb"] == "patch" and event.get("responseStatus", {}).get("code") == CREATED:
            yield Verb(group, resource, "create")  # an apply that made its object: the server asks for both


def table(given: frozenset[Verb], used: frozenset[Verb]) -> str:
    """Write what was granted and what was seen, for people."""
    lines = [f"verbs granted {len(given)}, seen {len(used)}"]
    lines += [f"  {'seen  ' if verb in used else 'UNUSED'}  {verb}" for verb in sorted(given)]
    lines += [f"  BEYOND  {verb}" for verb in sorted(used - given)]
    return "\n".join(lines)
