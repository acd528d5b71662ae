"""Files as kubectl reads them: YAML 1.1 the way of sigs.k8s.io/yaml, JSON, and any mixture of both in one file."""

from missionctl.kubectl_yaml.building import Manifest
from missionctl.kubectl_yaml.errors import ManifestError
from missionctl.kubectl_yaml.splitting import manifests

__all__ = ["Manifest", "ManifestError", "manifests"]
