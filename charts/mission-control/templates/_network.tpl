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

{{/* All soldiers, whichever pool they belong to. */}}
{{- define "mission-control.soldiersPeer" -}}
- podSelector:
    matchLabels: {app.kubernetes.io/name: soldier}
    matchExpressions: [{key: missioncontrol.dev/pool, operator: Exists}]
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

{{- define "mission-control.toCommander" -}}
- to: {{- include "mission-control.peer" (list . "commander") | nindent 2 }}
  ports: [{port: 8484, protocol: TCP}]
{{- end }}

{{/* Takes (list $ port …): those of the embedded server, or every port of a server whose address we cannot know. */}}
{{- define "mission-control.toServer" -}}
{{- $root := index . 0 }}{{ $component := index . 1 }}
{{- if (get $root.Values $component).embedded.enabled }}
- to: {{- include "mission-control.peer" (list $root $component) | nindent 2 }}
  ports:
  {{- range slice . 2 }}
  - {port: {{ . }}, protocol: TCP}
  {{- end }}
{{- end }}
{{- end }}
