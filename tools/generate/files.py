"""Which files are generated, and their exact text."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

import yaml

from mission_contracts.resources import MISSION, SOLDIER_POOL
from tools.generate import admission, api_page, chart, crds, metrics_page, reference, settings_page, states_page, values

COMMAND: Final = "python -m tools.generate"
NOTICE: Final = f"Generated from contracts/src/mission_contracts/resources by `{COMMAND}`: do not edit."
SETTINGS_NOTICE: Final = f"Generated from the services' settings.py by `{COMMAND}`: do not edit."
METRICS_NOTICE: Final = f"Generated from contracts/src/mission_contracts/metrics.py by `{COMMAND}`: do not edit."
API_NOTICE: Final = f"Generated from commander/src/mission_commander/api/described by `{COMMAND}`: do not edit."
STATES_NOTICE: Final = (
    f"Generated from commander/src/mission_commander/domain/life/table.py by `{COMMAND}`: do not edit."
)
VALUES_NOTICE: Final = f"Generated from {values.SOURCE} by `{COMMAND}`: do not edit."
ROOT: Final = Path(__file__).parents[2]
RESOURCES: Final = (MISSION, SOLDIER_POOL)
WIDTH: Final = 110


def generated() -> Mapping[PurePosixPath, str]:
    """Every generated file's text, by its path from the repository's root."""
    files = {
        PurePosixPath(f"manifests/crds/{resource.full_name}.yaml"): _manifest(crds.definition(resource))
        for resource in RESOURCES
    }
    files[PurePosixPath("manifests/base/admission-policy.yaml")] = _manifest(*admission.manifests())
    files |= {
        PurePosixPath(chart.FOLDER, path.name): chart.template(manifest, NOTICE) for path, manifest in files.items()
    }
    files[PurePosixPath("docs/reference/resources.md")] = f"<!-- {NOTICE} -->\n{reference.page(RESOURCES)}"
    files[PurePosixPath("docs/reference/settings.md")] = f"<!-- {SETTINGS_NOTICE} -->\n{settings_page.page()}"
    files[PurePosixPath("docs/reference/metrics.md")] = f"<!-- {METRICS_NOTICE} -->\n{metrics_page.page()}"
    files[PurePosixPath("docs/reference/states.md")] = f"<!-- {STATES_NOTICE} -->\n{states_page.page()}"
    files[PurePosixPath("docs/reference/openapi.json")] = api_page.openapi(API_NOTICE)
    return files | _of_the_values()


def _of_the_values() -> dict[PurePosixPath, str]:
    all_of_them = values.read(ROOT)
    folder = PurePosixPath(values.SOURCE).parent
    return {
        folder / "values.schema.json": values.schema_text(all_of_them, VALUES_NOTICE),
        folder / "VALUES.md": f"<!-- {VALUES_NOTICE} -->\n{values.page(all_of_them)}",
    }


def _manifest(*documents: dict[str, Any]) -> str:
    # Each document is dumped alone: across documents the dumper would write shared values as anchors.
    texts = [yaml.dump(document, Dumper=_Plain, sort_keys=False, width=WIDTH) for document in documents]
    return f"# {NOTICE}\n" + "---\n".join(texts)


class _Plain(yaml.SafeDumper):
    """Without anchors, whose sharing is an accident of how the schema was built."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the base class's signature
        return True
