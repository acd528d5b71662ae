{{/* What objects' names begin with. 40 characters leave room for the components' names within a DNS label. */}}
{{- define "mission-control.fullname" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{/* Takes (list $ "component"). */}}
{{- define "mission-control.name" -}}
{{ include "mission-control.fullname" (first .) }}-{{ last . }}
{{- end }}

{{/* What selects a component's pods: these three never change. */}}
{{- define "mission-control.selectorLabels" -}}
app.kubernetes.io/name: {{ last . }}
app.kubernetes.io/instance: {{ (first .).Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end }}

{{/* A pod's labels name no version: a new chart alone must not restart RabbitMQ and Redis. */}}
{{- define "mission-control.podLabels" -}}
{{ include "mission-control.selectorLabels" . }}
app.kubernetes.io/part-of: mission-control
{{- end }}

{{- define "mission-control.labels" -}}
{{ include "mission-control.podLabels" . }}
app.kubernetes.io/version: {{ (first .).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (first .).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (first .).Chart.Name (first .).Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Takes (list $ image tag): the tag counts where the image has none of its own. */}}
{{- define "mission-control.image" -}}
{{- $root := index . 0 }}{{ $image := index . 1 }}
{{- $path := $image.repository }}
{{- with $root.Values.image.registry }}{{ $path = printf "%s/%s" (trimSuffix "/" .) $path }}{{ end }}
{{- if $image.digest }}{{ $path }}@{{ $image.digest }}{{ else }}{{ $path }}:{{ $image.tag | default (index . 2) }}{{ end }}
{{- end }}

{{- define "mission-control.ourImage" -}}
{{- $root := first . }}
{{- include "mission-control.image" (list $root (last .) ($root.Values.image.tag | default $root.Chart.AppVersion)) }}
{{- end }}

{{/* The restricted Pod Security Standard, as defaults and not as options. Takes the user's id. */}}
{{- define "mission-control.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* Takes whether the root file system may be written. */}}
{{- define "mission-control.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: {{ not . }}
capabilities: {drop: [ALL]}
{{- end }}

{{/* Takes a component's values. */}}
{{- define "mission-control.placement" -}}
{{- range $field := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" }}
{{- with get $ $field }}
{{ dict $field . | toYaml }}
{{- end }}
{{- end }}
{{- end }}

{{/* A ServiceAccount. Takes (list $ "component"). No token gets into a pod by itself: who needs one projects it. */}}
{{- define "mission-control.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "mission-control.name" . }}
  labels: {{- include "mission-control.labels" . | nindent 4 }}
automountServiceAccountToken: false
{{- with (first .).Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What a pod needs to talk to the Kubernetes API: a token of an hour that the kubelet renews. */}}
{{- define "mission-control.apiAccessVolume" -}}
name: api-access
projected:
  sources:
  - serviceAccountToken: {path: token, expirationSeconds: 3600}
  - configMap:
      name: kube-root-ca.crt
      items: [{key: ca.crt, path: ca.crt}]
  - downwardAPI:
      items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]
{{- end }}

{{- define "mission-control.apiAccessMount" -}}
{name: api-access, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
{{- end }}

{{/* Takes (list $ "component" values). */}}
{{- define "mission-control.podDisruptionBudget" -}}
{{- $root := index . 0 }}{{ $component := index . 1 }}{{ $budget := (index . 2).podDisruptionBudget }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "mission-control.name" (list $root $component) }}
  labels: {{- include "mission-control.labels" (list $root $component) | nindent 4 }}
spec:
  {{- if eq (toString $budget.maxUnavailable) "<nil>" }}
  minAvailable: {{ $budget.minAvailable | default 1 }}
  {{- else }}
  maxUnavailable: {{ $budget.maxUnavailable }}
  {{- end }}
  selector:
    matchLabels: {{- include "mission-control.selectorLabels" (list $root $component) | nindent 6 }}
{{- end }}

{{/* A variable from a Secret. Takes (list variable secret key). */}}
{{- define "mission-control.fromSecret" -}}
{name: {{ index . 0 }}, valueFrom: {secretKeyRef: {name: {{ index . 1 }}, key: {{ index . 2 }}}}}
{{- end }}

{{- define "mission-control.commanderUrl" -}}
http://{{ include "mission-control.name" (list . "commander") }}:{{ .Values.commander.service.port }}
{{- end }}

{{/* Where an embedded server keeps its data: a volume that outlives it, or the pod. Takes (list $ "component"). */}}
{{- define "mission-control.volumeClaim" -}}
{{- $persistence := (get (first .).Values (last .)).embedded.persistence }}
{{- if $persistence.enabled -}}
volumeClaimTemplates:
- metadata:
    name: data
    labels: {{- include "mission-control.podLabels" . | nindent 6 }}
  spec:
    accessModes: [ReadWriteOnce]
    {{- with $persistence.storageClass }}
    storageClassName: {{ . }}
    {{- end }}
    resources: {requests: {storage: {{ $persistence.size }}}}
{{- end }}
{{- end }}

{{- define "mission-control.volume" -}}
{{- if not (get (first .).Values (last .)).embedded.persistence.enabled -}}
- name: data
  emptyDir: {}
{{- end }}
{{- end }}
