{{/* A policy for the pods of one component: what it names is let through, and nothing else. Takes (list $ "component"). */}}
{{- define "mission-control.policyHead" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "mission-control.name" . }}
  labels: {{- include "mission-control.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels: {{- include "mission-control.selectorLabels" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
{{- end }}

{{/* The pods of a component, as a peer. Takes (list $ "component"). */}}
{{- define "mission-control.peer" -}}
- podSelector:
    matchLabels: {{- include "mission-control.selectorLabels" . | nindent 6 }}
{{- end }}

{{/* All operators, whichever namespace they serve. */}}
{{- define "mission-control.operatorsPeer" -}}
- podSelector:
    matchLabels: {app.kubernetes.io/name: operator, app.kubernetes.io/instance: {{ .Release.Name }}}
{{- end }}

{{/* All soldiers of a namespace, whichever pool they belong to. */}}
{{- define "mission-control.soldiersOfANamespace" -}}
- podSelector:
    matchLabels: {app.kubernetes.io/name: soldier}
    matchExpressions: [{key: missioncontrol.dev/pool, operator: Exists}]
{{- end }}

{{/* All soldiers of the served namespaces, seen from the release's own. */}}
{{- define "mission-control.soldiersPeer" -}}
{{- include "mission-control.soldiersOfANamespace" . }}
{{- if .Values.namespaces }}
  namespaceSelector:
    matchExpressions:
    - {key: kubernetes.io/metadata.name, operator: In, values: {{ toJson .Values.namespaces }}}
{{- end }}
{{- end }}

{{/* The release's own namespace, for a policy of another one. Takes (list $ "namespace"). */}}
{{- define "mission-control.inTheRelease" -}}
{{- if ne (last .) (first .).Release.Namespace }}
namespaceSelector:
  matchLabels: {kubernetes.io/metadata.name: {{ (first .).Release.Namespace }}}
{{- end }}
{{- end }}

{{- define "mission-control.toNames" -}}
# Names are looked up wherever the cluster's DNS lives.
- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
{{- end }}

{{- define "mission-control.toApiServer" -}}
- ports:
  {{- range .Values.networkPolicy.apiServerPorts }}
  - {port: {{ . }}, protocol: TCP}
  {{- end }}
{{- end }}

{{/* Takes (list $ "namespace"): where the policy is. */}}
{{- define "mission-control.toCommander" -}}
- to:
  {{- include "mission-control.peer" (list (first .) "commander") | nindent 2 }}
    {{- with include "mission-control.inTheRelease" . }}{{ . | indent 4 }}{{- end }}
  ports: [{port: 8484, protocol: TCP}]
{{- end }}

{{/* Takes (list $ "namespace" "component" port …): where the policy is, and the ports of an embedded server. */}}
{{- define "mission-control.toServer" -}}
{{- $root := index . 0 }}{{ $component := index . 2 }}
{{- if (get $root.Values $component).embedded.enabled }}
- to:
  {{- include "mission-control.peer" (list $root $component) | nindent 2 }}
    {{- with include "mission-control.inTheRelease" (list $root (index . 1)) }}{{ . | indent 4 }}{{- end }}
  ports:
  {{- range slice . 3 }}
  - {port: {{ . }}, protocol: TCP}
  {{- end }}
{{- end }}
{{- end }}
