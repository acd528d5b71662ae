"""Names as the cluster and the broker accept them, checked the same at both doors."""

import re
from collections.abc import Mapping
from typing import Final

DNS_LABEL_PATTERN: Final = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
"""RFC 1123 label, at most 63 characters: pools and namespaces."""

OBJECT_NAME_PATTERN: Final = r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"
"""RFC 1123 subdomain, at most 253 characters: names of Mission objects."""

TYPE_PATTERN: Final = r"^[a-zA-Z0-9]([-a-zA-Z0-9_./]{0,126}[a-zA-Z0-9])?$"
"""A mission type: letters, digits and `-_./`, at most 128 characters."""

MISSION_ID_PATTERN: Final = r"^[A-Za-z0-9]([-A-Za-z0-9_.:]{0,62}[A-Za-z0-9])?$"
"""An object's uid: it gets into paths and headers as it is, so it is plain."""

MODULE_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*(:[A-Za-z_][A-Za-z0-9_]*)?$"
"""A Python module, and perhaps a name in it: `shop.missions:soldier`."""

ENVIRONMENT_NAME_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"
"""An environment variable's name."""

MOMENT_PATTERN: Final = (
    r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
    r"(\.[0-9]{1,9})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
"""A moment in RFC 3339, which also allows t and z; at most 35 characters."""

SENTENCES: Final[Mapping[str, str]] = {
    DNS_LABEL_PATTERN: "must be a DNS label: lower-case letters, digits and -, at most 63 characters, "
    "a letter or digit at both ends",
    OBJECT_NAME_PATTERN: "must be an object's name: lower-case letters, digits, - and ., at most 253 characters, "
    "a letter or digit at both ends",
    TYPE_PATTERN: "must be a mission type: letters, digits and -_./, at most 128 characters, "
    "a letter or digit at both ends",
    MISSION_ID_PATTERN: "must be an object's uid: letters, digits and -_.:, at most 64 characters, "
    "a letter or digit at both ends",
    MODULE_PATTERN: "must be a Python module, such as shop.missions, or a name in one, such as shop.missions:soldier",
    ENVIRONMENT_NAME_PATTERN: "must be a variable's name: letters, digits and _, not beginning with a digit",
    MOMENT_PATTERN: "must be a moment in RFC 3339 with its zone, such as 2030-01-31T08:00:00Z",
}
"""What each pattern means, for whoever broke it."""

_DNS_LABEL: Final = re.compile(DNS_LABEL_PATTERN)


def is_dns_label(name: str) -> bool:
    """Tell whether a name can be a pool or a namespace."""
    return _DNS_LABEL.fullmatch(name) is not None
