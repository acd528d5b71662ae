"""Files that follow from the contracts' models: CRDs, the admission policy, the resources' reference page."""

from tools.generate.files import generated

__all__ = ["generated"]
