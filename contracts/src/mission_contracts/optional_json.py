"""A field that holds JSON text or nothing; msgspec has no such type of its own."""

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    OptionalJson = msgspec.Raw | None
else:
    # msgspec reads a union of Raw and None as None alone, and then refuses every object. As Raw with the default None
    # (in a Struct that omits defaults) the field does what the union says.
    OptionalJson = msgspec.Raw
