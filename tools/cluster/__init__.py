"""A real Kubernetes for development and end-to-end tests, made and ended by the project alone."""

from tools.cluster.errors import ClusterError
from tools.cluster.layout import DEFAULT_NAME, Layout, layout

__all__ = ["DEFAULT_NAME", "ClusterError", "Layout", "layout"]
