"""Holds the chart and the kustomize manifests against helm's own linter and against Kubernetes' schemas."""
