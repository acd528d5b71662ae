{{/* The namespaces that this release serves, as YAML. */}}
{{- define "mission-control.namespaces" -}}
{{- .Values.namespaces | default (list .Release.Namespace) | toYaml }}
{{- end }}

{{/* Those in which the release has objects: its own, and those that it serves. */}}
{{- define "mission-control.allNamespaces" -}}
{{- concat (list .Release.Namespace) (include "mission-control.namespaces" . | fromYamlArray) | uniq | toYaml }}
{{- end }}

{{/* For metadata: names the namespace where it is not the release's. Takes (list $ "namespace"). */}}
{{- define "mission-control.inNamespace" -}}
{{- if ne (last .) (first .).Release.Namespace }}
namespace: {{ last . }}
{{- end }}
{{- end }}

{{/* For a binding's subject in another namespace than the release's. Takes (list $ "namespace"). */}}
{{- define "mission-control.ofTheRelease" -}}
{{- if ne (last .) (first .).Release.Namespace }}
namespace: {{ (first .).Release.Namespace }}
{{- end }}
{{- end }}

{{/* The name of the operator that serves a namespace: a DNS label. Takes (list $ "namespace"). */}}
{{- define "mission-control.operatorName" -}}
{{- $root := first . }}{{ $namespace := last . }}
{{- $name := include "mission-control.name" (list $root "operator") }}
{{- if ne $namespace $root.Release.Namespace }}
{{- $name = printf "%s-%s" $name $namespace }}
{{- if gt (len $name) 52 }}{{ $name = printf "%s-%s" ($name | trunc 43 | trimSuffix "-") ($name | sha256sum | trunc 8) }}{{ end }}
{{- end }}
{{- $name }}
{{- end }}

{{/* What selects one operator's pods. That of the release's own namespace has the labels of every component. */}}
{{- define "mission-control.operatorLabels" -}}
{{- $root := first . }}{{ $namespace := last . }}
app.kubernetes.io/name: operator
app.kubernetes.io/instance: {{ $root.Release.Name }}
{{- if eq $namespace $root.Release.Namespace }}
app.kubernetes.io/component: operator
{{- else }}
app.kubernetes.io/component: operator-of-a-namespace
missioncontrol.dev/serves: {{ $namespace }}
{{- end }}
{{- end }}

{{/* The names of all operators, as YAML. */}}
{{- define "mission-control.operatorNames" -}}
{{- $names := list }}
{{- range include "mission-control.namespaces" . | fromYamlArray }}
{{- $names = append $names (include "mission-control.operatorName" (list $ .)) }}
{{- end }}
{{- toYaml $names }}
{{- end }}
