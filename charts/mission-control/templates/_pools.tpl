{{/* Names that no pool may use, whatever pools.* allow: those of this release's objects, as YAML. */}}
{{- define "mission-control.reservedNames" -}}
{{- $fullname := include "mission-control.fullname" . }}
{{- $names := list (printf "%s-*" $fullname) (printf "data-%s-*" $fullname) }}
{{- /* Helm keeps everything that it rendered, keys included, in Secrets of its own. */}}
{{- $names = append $names "sh.helm.release.v1.*" }}
{{- range list .Values.secrets.existingSecret .Values.rabbitmq.external.existingSecret .Values.redis.external.existingSecret }}
{{- with . }}{{ $names = append $names . }}{{ end }}
{{- end }}
{{- range .Values.image.pullSecrets }}{{ $names = append $names .name }}{{ end }}
{{- toYaml ($names | uniq) }}
{{- end }}

{{/* A list in CEL. The values' schema lets no quotes into names. */}}
{{- define "mission-control.celList" -}}
[{{ range $index, $one := . }}{{ if $index }}, {{ end }}'{{ $one }}'{{ end }}]
{{- end }}

{{/* Whether a name, the CEL variable n, is among patterns. Takes a CEL list. */}}
{{- define "mission-control.celAmong" -}}
{{ . }}.exists(p, p.endsWith('*') ? n.startsWith(p.substring(0, p.size() - 1)) : n == p)
{{- end }}

{{/* A rule of a policy: nothing is in the variable of refused names. Takes (list "refused" "allowed" "kind"). */}}
{{- define "mission-control.celNoneRefused" -}}
- expression: variables.{{ index . 0 }}.size() == 0
  reason: Forbidden
  messageExpression: >-
    'pools may not use the {{ index . 2 }} ' + variables.{{ index . 0 }}.join(', ') + ': name one that they may ('
    + variables.{{ index . 1 }}.join(', ') + '), or have the administrator of the installation allow it'
{{- end }}

{{/* The names of a list that pools may not use. Takes (list "names" "allowed"), two variables of a policy. */}}
{{- define "mission-control.celRefused" -}}
variables.{{ first . }}.filter(n, !{{ include "mission-control.celAmong" (printf "variables.%s" (last .)) }} || {{ include "mission-control.celAmong" "variables.reserved" }})
{{- end }}

{{/* The rules of all four kinds, from the variables of celAllowance and celNames. */}}
{{- define "mission-control.celRules" -}}
{{ include "mission-control.celNoneRefused" (list "refusedSecrets" "allowedSecrets" "Secret") }}
{{ include "mission-control.celNoneRefused" (list "refusedConfigMaps" "allowedConfigMaps" "ConfigMap") }}
{{ include "mission-control.celNoneRefused" (list "refusedClaims" "allowedClaims" "PersistentVolumeClaim") }}
{{ include "mission-control.celNoneRefused" (list "refusedAccounts" "allowedAccounts" "ServiceAccount") }}
{{- end }}

{{/* What pools may name, as variables of a policy. */}}
{{- define "mission-control.celAllowance" -}}
- {name: reserved, expression: "{{ include "mission-control.celList" (include "mission-control.reservedNames" . | fromYamlArray) }}"}
- {name: allowedSecrets, expression: "{{ include "mission-control.celList" .Values.pools.secrets }}"}
- {name: allowedConfigMaps, expression: "{{ include "mission-control.celList" .Values.pools.configMaps }}"}
- {name: allowedClaims, expression: "{{ include "mission-control.celList" .Values.pools.persistentVolumeClaims }}"}
- {name: allowedAccounts, expression: "{{ include "mission-control.celList" .Values.pools.serviceAccounts }}"}
{{- end }}

{{/*
The names in a pod's fields, which a pool's template has too. Takes (dict "pod" "container" "own" "accounts"): where in
the object, which variables (e) and, as "ownVolume", volumes (v) are the
installation's own, and which accounts are always allowed.
*/}}
{{- define "mission-control.celNames" -}}
- name: env
  expression: "{{ .container }}.?env.orValue([]){{ with .own }}.filter(e, !({{ . }})){{ end }}"
- name: secrets
  expression: >-
    variables.env.filter(e, e.?valueFrom.?secretKeyRef.hasValue()).map(e, e.valueFrom.secretKeyRef.name)
    + {{ .container }}.?envFrom.orValue([]).filter(e, e.?secretRef.hasValue()).map(e, e.secretRef.name)
    + {{ .pod }}.?volumes.orValue([]).filter(v, v.?secret.hasValue()).map(v, v.secret.secretName)
    + {{ .pod }}.?imagePullSecrets.orValue([]).map(s, s.name)
- name: configMaps
  expression: >-
    variables.env.filter(e, e.?valueFrom.?configMapKeyRef.hasValue()).map(e, e.valueFrom.configMapKeyRef.name)
    + {{ .container }}.?envFrom.orValue([]).filter(e, e.?configMapRef.hasValue()).map(e, e.configMapRef.name)
    + {{ .pod }}.?volumes.orValue([]).filter(v, v.?configMap.hasValue()){{ with .ownVolume }}.filter(v, !({{ . }})){{ end }}.map(v, v.configMap.name)
- name: claims
  expression: >-
    {{ .pod }}.?volumes.orValue([]).filter(v, v.?persistentVolumeClaim.hasValue()).map(v, v.persistentVolumeClaim.claimName)
# Soldiers may always run as the installation's account for them, which has no rights.
- name: accounts
  expression: "[{{ .pod }}.?serviceAccountName.orValue('')].filter(n, !(n in {{ include "mission-control.celList" .accounts }}))"
{{- range $kind := list "Secrets" "ConfigMaps" "Claims" "Accounts" }}
- name: refused{{ $kind }}
  expression: {{ include "mission-control.celRefused" (list (untitle $kind) (printf "allowed%s" $kind)) | quote }}
{{- end }}
{{- end }}

{{/* A binding that denies. Takes (list $ "name" namespaces); without namespaces it holds in all. */}}
{{- define "mission-control.policyBinding" -}}
{{- $root := index . 0 }}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ index . 1 }}
  labels: {{- include "mission-control.labels" (list $root "operator") | nindent 4 }}
spec:
  policyName: {{ index . 1 }}
  validationActions: [Deny]
  {{- with index . 2 }}
  matchResources:
    namespaceSelector:
      matchExpressions:
      - {key: kubernetes.io/metadata.name, operator: In, values: {{ toJson . }}}
  {{- end }}
{{- end }}
