{{/* Values that are fine each and make no sense together. Every sentence says what to change. */}}
{{- define "mission-control.contradictions" -}}
{{- $values := .Values }}
{{- range $server, $given := dict "rabbitmq" .Values.rabbitmq.external.urls "redis" .Values.redis.external.url }}
{{- $here := get $values $server }}
{{- $existing := $here.external.existingSecret }}
{{- $address := ternary "urls" "url" (eq $server "rabbitmq") }}
{{- if and $here.embedded.enabled (or $given $existing) }}
{{- fail (printf "%s.external names a server while the embedded one is enabled, so one of them would stay empty: set %s.embedded.enabled=false, or leave %s.external out." $server $server $server) }}
{{- end }}
{{- if not (or $here.embedded.enabled $given $existing $values.secrets.existingSecret) }}
{{- fail (printf "%s.embedded.enabled is false and nothing says which server to use instead: set %s.external.%s or %s.external.existingSecret." $server $server $address $server) }}
{{- end }}
{{- if and $given $existing }}
{{- fail (printf "%s.external has both %s and existingSecret, and only one can be right: leave one of them out." $server $address) }}
{{- end }}
{{- if and $given $values.secrets.existingSecret }}
{{- fail (printf "secrets.existingSecret holds the addresses too, so %s.external.%s would be ignored: put it into that Secret, or into one of its own that %s.external.existingSecret names." $server $address $server) }}
{{- end }}
{{- end }}
{{- $external := .Values.rabbitmq.external }}
{{- if and .Values.rabbitmq.embedded.enabled (or $external.managementUrl $external.managementUrlInSecret) }}
{{- fail "rabbitmq.external.managementUrl and managementUrlInSecret speak of another RabbitMQ than the embedded one, which needs neither: leave them out, or set rabbitmq.embedded.enabled=false." }}
{{- end }}
{{- if and $external.managementUrl (not $external.urls) }}
{{- fail "rabbitmq.external.managementUrl would be ignored, because a Secret of yours holds the addresses: put it there under the key rabbitmq-management-url, and set rabbitmq.external.managementUrlInSecret=true." }}
{{- end }}
{{- if and $external.managementUrlInSecret $external.urls }}
{{- fail "rabbitmq.external.managementUrlInSecret speaks of a Secret of yours, and rabbitmq.external.urls puts the addresses into ours: set rabbitmq.external.managementUrl instead." }}
{{- end }}
{{- if lt (float64 .Values.commander.leaseSeconds) (mulf 4 .Values.commander.heartbeatSeconds) }}
{{- fail (printf "commander.leaseSeconds (%v) is less than four times commander.heartbeatSeconds (%v), so one lost heartbeat could make a mission run twice: raise the one or lower the other." .Values.commander.leaseSeconds .Values.commander.heartbeatSeconds) }}
{{- end }}
{{- range $component := list "operator" "commander" }}
{{- $here := get $values $component }}
{{- $budget := $here.podDisruptionBudget }}
{{- $min := toString $budget.minAvailable }}{{ $max := toString $budget.maxUnavailable }}
{{- if and (ne $min "<nil>") (ne $max "<nil>") }}
{{- fail (printf "%s.podDisruptionBudget has both minAvailable and maxUnavailable, and Kubernetes takes only one: leave one of them out." $component) }}
{{- end }}
{{- if and $budget.enabled (eq $max "<nil>") (ge (int ($budget.minAvailable | default 1)) (int $here.replicas)) (not (hasSuffix "%" $min)) }}
{{- fail (printf "%s.podDisruptionBudget keeps %v of %v replicas, so no node that runs one could ever be drained: raise %s.replicas, or set maxUnavailable." $component ($budget.minAvailable | default 1) $here.replicas $component) }}
{{- end }}
{{- end }}
{{- if ne (include "mission-control.allNamespaces" . | fromYamlArray | len) 1 }}
{{- if not .Values.identity.serviceAccounts }}
{{- fail "namespaces names others than the release's own, and soldiers there could not read its Secret, which identity.serviceAccounts=false makes them log in with: set identity.serviceAccounts=true." }}
{{- end }}
{{- if not (include "mission-control.hasPoolUsers" .) }}
{{- fail "namespaces names others than the release's own, and soldiers there could not read its Secret, which tells them where RabbitMQ is: add rabbitmq_management to rabbitmq.embedded.plugins, or set rabbitmq.external.managementUrl, so that the Commander tells them." }}
{{- end }}
{{- end }}
{{- if .Values.tls.enabled }}
{{- $by := .Values.tls.certificates }}
{{- if and (eq $by "CertManager") (not .Values.tls.issuer.name) }}
{{- fail "tls.certificates is CertManager and no issuer is named, so no certificate would be made: set tls.issuer.name." }}
{{- end }}
{{- if and (ne $by "Generated") (not .Values.tls.authority) }}
{{- fail (printf "tls.certificates is %s and nothing says which authority signs, so no client could believe the servers: set tls.authority to its certificate in PEM." $by) }}
{{- end }}
{{- if and (eq $by "Generated") .Values.tls.authority }}
{{- fail "tls.authority would be ignored, because tls.certificates is Generated and the chart makes an authority of its own: leave it out, or set tls.certificates=Secret." }}
{{- end }}
{{- end }}
{{- if .Values.image.requireDigests }}
{{- $images := dict "operator" .Values.operator.image "commander" .Values.commander.image "soldier" .Values.soldier.image }}
{{- range $server := list "rabbitmq" "redis" }}
{{- $embedded := (get $values $server).embedded }}
{{- if $embedded.enabled }}{{ $_ := set $images (printf "%s.embedded" $server) $embedded.image }}{{ end }}
{{- end }}
{{- range $name, $image := $images }}
{{- if not $image.digest }}
{{- fail (printf "image.requireDigests is true and %s.image has none, so its tag could become another image: set %s.image.digest to the sha256:… that your registry tells." $name $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
