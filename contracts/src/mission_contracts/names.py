"""Names as the cluster and the broker accept them, checked the same at both doors."""

import re
from typing import Final

DNS_LABEL_PATTERN: Final = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
"""RFC 1123 label, at most 63 characters: pools and namespaces."""

OBJECT_NAME_PATTERN: Final = r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"
"""RFC 1123 subdomain, at most 253 characters: names of Mission objects."""

TYPE_PATTERN: Final = r"^[a-zA-Z0-9]([-a-zA-Z0-9_./]{0,126}[a-zA-Z0-9])?$"
"""A mission type: letters, digits and `-_./`, at most 128 characters."""

_DNS_LABEL: Final = re.compile(DNS_LABEL_PATTERN)


def is_dns_label(name: str) -> bool:
    """Tell whether a name can be a pool or a namespace."""
    return _DNS_LABEL.match(name) is not None
