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

{{/*
A ServiceAccount. Takes (list $ "component" "namespace"). No token gets into a pod by itself: who needs one projects it.
*/}}
{{- define "mission-control.serviceAccount" -}}
{{- $namespace := last . }}{{- with list (index . 0) (index . 1) }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "mission-control.name" . }}
  {{- with include "mission-control.inNamespace" (list (first .) $namespace) }}{{ . | indent 2 }}{{- end }}
  labels: {{- include "mission-control.labels" . | nindent 4 }}
automountServiceAccountToken: false
{{- with (first .).Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
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

{{/* Takes (list $ "component" values "name" labels): the last two, of the budget and of the pods. */}}
{{- define "mission-control.podDisruptionBudget" -}}
{{- $root := index . 0 }}{{ $component := index . 1 }}{{ $budget := (index . 2).podDisruptionBudget }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ index . 3 }}
  labels: {{- include "mission-control.labels" (list $root $component) | nindent 4 }}
spec:
  {{- if eq (toString $budget.maxUnavailable) "<nil>" }}
  minAvailable: {{ $budget.minAvailable | default 1 }}
  {{- else }}
  maxUnavailable: {{ $budget.maxUnavailable }}
  {{- end }}
  selector:
    matchLabels: {{- index . 4 | nindent 6 }}
{{- end }}

{{/* A variable from a Secret. Takes (list variable secret key). */}}
{{- define "mission-control.fromSecret" -}}
{name: {{ index . 0 }}, valueFrom: {secretKeyRef: {name: {{ index . 1 }}, key: {{ index . 2 }}}}}
{{- end }}

{{/* A Service's name as every served namespace resolves it. Takes (list $ "component"). */}}
{{- define "mission-control.host" -}}
{{- $root := first . }}
{{- include "mission-control.name" . }}
{{- if ne (include "mission-control.allNamespaces" $root | fromYamlArray | len) 1 }}.{{ $root.Release.Namespace }}.svc{{ end }}
{{- end }}

{{- define "mission-control.commanderUrl" -}}
{{ include "mission-control.scheme" . }}://{{ include "mission-control.host" (list . "commander") }}:{{ .Values.commander.service.port }}
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

{{/*
A program of ours that runs as a hook, with an account of its own. It needs Python only, which the operator's image has.
Takes (dict "root" $ "name" "hook" "file" "rules" "environment" "namespaces"): the rules are YAML and hold in these
namespaces, the environment is YAML too.
*/}}
{{- define "mission-control.hook" -}}
{{- $root := .root }}{{ $name := list .root .name }}
{{- $everything := printf "helm.sh/hook: %s\nhelm.sh/hook-delete-policy: before-hook-creation,hook-succeeded" .hook }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "mission-control.name" $name }}
  labels: {{- include "mission-control.labels" $name | nindent 4 }}
  annotations:
    {{- $everything | nindent 4 }}
    helm.sh/hook-weight: "-1"
automountServiceAccountToken: false
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- $rules := .rules | trim }}
{{- range $namespace := .namespaces }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ include "mission-control.name" $name }}
  {{- with include "mission-control.inNamespace" (list $root $namespace) }}{{ . | indent 2 }}{{- end }}
  labels: {{- include "mission-control.labels" $name | nindent 4 }}
  annotations:
    {{- $everything | nindent 4 }}
    helm.sh/hook-weight: "-1"
rules:
{{ $rules }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ include "mission-control.name" $name }}
  {{- with include "mission-control.inNamespace" (list $root $namespace) }}{{ . | indent 2 }}{{- end }}
  labels: {{- include "mission-control.labels" $name | nindent 4 }}
  annotations:
    {{- $everything | nindent 4 }}
    helm.sh/hook-weight: "-1"
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ include "mission-control.name" $name }}
subjects:
- kind: ServiceAccount
  name: {{ include "mission-control.name" $name }}
  namespace: {{ $root.Release.Namespace }}
{{- end }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "mission-control.name" $name }}
  labels: {{- include "mission-control.labels" $name | nindent 4 }}
  annotations:
    {{- $everything | nindent 4 }}
    helm.sh/hook-weight: "-1"
data:
  {{- range $file := list "api_access.py" .file }}
  {{ $file }}: |
    {{- $root.Files.Get (printf "files/%s" $file) | nindent 4 }}
  {{- end }}
---
apiVersion: v1
kind: Pod
metadata:
  name: {{ include "mission-control.name" $name }}
  labels: {{- include "mission-control.labels" $name | nindent 4 }}
  annotations:
    {{- $everything | nindent 4 }}
    helm.sh/hook-weight: "0"
    helm.sh/hook-output-log-policy: hook-succeeded,hook-failed
spec:
  restartPolicy: Never
  serviceAccountName: {{ include "mission-control.name" $name }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  securityContext: {{- include "mission-control.podSecurity" 65532 | nindent 4 }}
  containers:
  - name: {{ .name }}
    image: {{ include "mission-control.ourImage" (list $root $root.Values.operator.image) }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    command: [python, /programs/{{ .file }}]
    env:
    - {name: PYTHONPATH, value: /programs}
    - {name: NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
    {{- .environment | trim | nindent 4 }}
    resources:
      requests: {cpu: 50m, memory: 64Mi}
      limits: {memory: 128Mi}
    securityContext: {{- include "mission-control.containerSecurity" false | nindent 6 }}
    volumeMounts:
    - {{ include "mission-control.apiAccessMount" $root }}
    {{- if $root.Values.tls.enabled }}
    - {{ include "mission-control.authorityMount" $root }}
    {{- end }}
    - {name: programs, mountPath: /programs, readOnly: true}
  volumes:
  - {{- include "mission-control.apiAccessVolume" $root | nindent 4 }}
  {{- if $root.Values.tls.enabled }}
  - {{- include "mission-control.authorityVolume" $root | nindent 4 }}
  {{- end }}
  - name: programs
    configMap: {name: {{ include "mission-control.name" $name }}}
{{- end }}
