{{/* The Secret of keys and passwords: ours, or the one that replaces it. */}}
{{- define "mission-control.secretName" -}}
{{- .Values.secrets.existingSecret | default (include "mission-control.name" (list . "keys")) -}}
{{- end }}

{{- define "mission-control.rabbitmqSecretName" -}}
{{- .Values.rabbitmq.external.existingSecret | default (include "mission-control.secretName" .) -}}
{{- end }}

{{- define "mission-control.redisSecretName" -}}
{{- .Values.redis.external.existingSecret | default (include "mission-control.secretName" .) -}}
{{- end }}

{{/*
Keys and passwords that nobody chose: those in the cluster from an earlier installation or upgrade, else new ones. They
are made once per rendering and kept in .Values, because a second call would make others.
*/}}
{{- define "mission-control.generate" -}}
{{- if not (hasKey .Values "generated") }}
{{- $stored := (lookup "v1" "Secret" .Release.Namespace (include "mission-control.secretName" .)).data | default dict }}
{{- $generated := dict }}
{{- $names := list "install-key" "operator-client-secret" "client-secret" "user-client-secret" "first-admin-password" }}
{{- if .Values.rabbitmq.embedded.enabled }}{{ $names = append $names "rabbitmq-password" }}{{ end }}
{{- if .Values.redis.embedded.enabled }}{{ $names = append $names "redis-password" }}{{ end }}
{{- range $name := $names }}
{{- $_ := set $generated $name (get $stored $name | b64dec | default (randAlphaNum 48)) }}
{{- end }}
{{- $_ := set .Values "generated" $generated }}
{{- end }}
{{- end }}

{{/* Everything that the Secret holds, as YAML. */}}
{{- define "mission-control.secretData" -}}
{{- include "mission-control.generate" . }}
{{- $data := deepCopy .Values.generated }}
{{- if .Values.rabbitmq.embedded.enabled }}
{{- $host := include "mission-control.host" (list . "rabbitmq") }}
{{- $_ := set $data "rabbitmq-urls" (printf "%s://mission-control:%s@%s:%s/" (ternary "amqps" "amqp" .Values.tls.enabled) (get $data "rabbitmq-password") $host (include "mission-control.amqpPort" .)) }}
{{- else if .Values.rabbitmq.external.urls }}
{{- $_ := set $data "rabbitmq-urls" (join "," .Values.rabbitmq.external.urls) }}
{{- with .Values.rabbitmq.external.managementUrl }}
{{- $_ := set $data "rabbitmq-management-url" . }}
{{- end }}
{{- end }}
{{- if .Values.redis.embedded.enabled }}
{{- $host := include "mission-control.name" (list . "redis") }}
{{- $_ := set $data "redis-url" (printf "%s://:%s@%s:6379/0" (ternary "rediss" "redis" .Values.tls.enabled) (get $data "redis-password") $host) }}
{{- else if .Values.redis.external.url }}
{{- $_ := set $data "redis-url" .Values.redis.external.url }}
{{- end }}
{{- toYaml $data }}
{{- end }}

{{/* Pods that read the Secret start anew when it changes. Empty for a Secret that is not ours to watch. */}}
{{- define "mission-control.secretChecksum" -}}
{{- if not .Values.secrets.existingSecret }}
checksum/keys: {{ include "mission-control.secretData" . | sha256sum }}
{{- end }}
{{- end }}

{{/* Says "yes" where each pool gets a RabbitMQ user of its own: where there is a management API to make it with. */}}
{{- define "mission-control.hasPoolUsers" -}}
{{- $rabbitmq := .Values.rabbitmq }}
{{- if $rabbitmq.embedded.enabled }}
{{- if has "rabbitmq_management" $rabbitmq.embedded.plugins }}yes{{ end }}
{{- else if or $rabbitmq.external.managementUrl $rabbitmq.external.managementUrlInSecret }}yes{{ end }}
{{- end }}

{{/* The Commander's way to that API, as variables. */}}
{{- define "mission-control.managementVariables" -}}
{{- if include "mission-control.hasPoolUsers" . }}
{{- if .Values.rabbitmq.embedded.enabled }}
- {{ include "mission-control.fromSecret" (list "RABBITMQ_PASSWORD" (include "mission-control.secretName" .) "rabbitmq-password") }}
- name: COMMANDER_RABBITMQ_MANAGEMENT_URL
  value: {{ include "mission-control.scheme" . }}://mission-control:$(RABBITMQ_PASSWORD)@{{ include "mission-control.name" (list . "rabbitmq") }}:{{ include "mission-control.managementPort" . }}
{{- else }}
- {{ include "mission-control.fromSecret" (list "COMMANDER_RABBITMQ_MANAGEMENT_URL" (include "mission-control.rabbitmqSecretName" .) "rabbitmq-management-url") }}
{{- end }}
{{- end }}
{{- end }}
