"""The chart's copies of the CRDs and the admission policy: the same text, with the values that rule them around it."""

import re
from typing import Final

FOLDER: Final = "charts/mission-control/templates/crds"

_KEEP: Final = """\
  {{- if .Values.crds.keep }}
  annotations:
    helm.sh/resource-policy: keep
  {{- end }}
"""
_METADATA: Final = re.compile(r"^metadata:\n(?:  .*\n)+", re.MULTILINE)


def template(manifest: str, notice: str) -> str:
    """Wrap a manifest: installed if asked for, and kept at the release's end if asked for."""
    body = _escaped(manifest.split("\n", 1)[1])  # without its own first line, the notice
    kept = _METADATA.sub(lambda found: found.group() + _KEEP, body)
    return f"{{{{- /* {notice} */}}}}\n{{{{- if .Values.crds.enabled }}}}\n{kept}{{{{- end }}}}\n"


def _escaped(text: str) -> str:
    """What would open an action in a template becomes one that writes it."""
    return text.replace("{{", '{{ "{{" }}')
