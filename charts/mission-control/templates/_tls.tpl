{{/* Where pods find the authority, and a server its own certificate. */}}
{{- define "mission-control.authorityFile" -}}
/etc/mission-control/authority/ca.crt
{{- end }}

{{- define "mission-control.authorityVolume" -}}
name: authority
configMap: {name: {{ include "mission-control.name" (list . "authority") }}}
{{- end }}

{{- define "mission-control.authorityMount" -}}
{name: authority, mountPath: /etc/mission-control/authority, readOnly: true}
{{- end }}

{{/* Takes (list $ "component"). */}}
{{- define "mission-control.certificateVolume" -}}
name: certificate
secret: {secretName: {{ include "mission-control.name" . }}-tls}
{{- end }}

{{- define "mission-control.certificateMount" -}}
{name: certificate, mountPath: /etc/mission-control/tls, readOnly: true}
{{- end }}

{{/* The components that have a certificate, as YAML. */}}
{{- define "mission-control.tlsComponents" -}}
{{- $components := list "commander" }}
{{- range $server := list "rabbitmq" "redis" }}
{{- if (get $.Values $server).embedded.enabled }}{{ $components = append $components $server }}{{ end }}
{{- end }}
{{- toYaml $components }}
{{- end }}

{{/* Every name of a component's Service, as YAML: those of one namespace and of all. Takes (list $ "component"). */}}
{{- define "mission-control.dnsNames" -}}
{{- $name := include "mission-control.name" . }}{{ $namespace := (first .).Release.Namespace }}
{{- list $name (printf "%s.%s" $name $namespace) (printf "%s.%s.svc" $name $namespace) (printf "%s.%s.svc.cluster.local" $name $namespace) "localhost" | toYaml }}
{{- end }}

{{/*
The generated authority and certificates: those in the cluster, else new ones. Made once per rendering and kept in
.Values, as the keys are. The authority's key is kept too, for components that are enabled later.
*/}}
{{- define "mission-control.generateCertificates" -}}
{{- if not (hasKey .Values "certificates") }}
{{- $namespace := .Release.Namespace }}
{{- $made := dict }}
{{- $stored := (lookup "v1" "Secret" $namespace (include "mission-control.name" (list . "authority"))).data | default dict }}
{{- $authority := dict }}
{{- if get $stored "tls.crt" }}
{{- $authority = buildCustomCert (get $stored "tls.crt") (get $stored "tls.key") }}
{{- else }}
{{- $authority = genCA (printf "%s of %s" (include "mission-control.fullname" .) $namespace) (int .Values.tls.days) }}
{{- end }}
{{- $_ := set $made "authority" (dict "crt" $authority.Cert "key" $authority.Key) }}
{{- range $component := include "mission-control.tlsComponents" . | fromYamlArray }}
{{- $held := (lookup "v1" "Secret" $namespace (printf "%s-tls" (include "mission-control.name" (list $ $component)))).data | default dict }}
{{- if and (get $held "tls.crt") (get $stored "tls.crt") }}
{{- $_ := set $made $component (dict "crt" (get $held "tls.crt" | b64dec) "key" (get $held "tls.key" | b64dec)) }}
{{- else }}
{{- $names := include "mission-control.dnsNames" (list $ $component) | fromYamlArray }}
{{- $new := genSignedCert (first $names) (list "127.0.0.1") $names (int $.Values.tls.days) $authority }}
{{- $_ := set $made $component (dict "crt" $new.Cert "key" $new.Key) }}
{{- end }}
{{- end }}
{{- $_ := set .Values "certificates" $made }}
{{- end }}
{{- end }}

{{/* The authority in PEM. */}}
{{- define "mission-control.authority" -}}
{{- if eq .Values.tls.certificates "Generated" }}
{{- include "mission-control.generateCertificates" . }}
{{- .Values.certificates.authority.crt }}
{{- else }}
{{- .Values.tls.authority }}
{{- end }}
{{- end }}

{{/* Servers that cannot read a new certificate by themselves start again. Takes (list $ "component"). */}}
{{- define "mission-control.certificateChecksum" -}}
{{- $root := first . }}
{{- if $root.Values.tls.enabled }}
checksum/authority: {{ include "mission-control.authority" $root | sha256sum }}
{{- if eq $root.Values.tls.certificates "Generated" }}
checksum/certificate: {{ get $root.Values.certificates (last .) | default dict | toJson | sha256sum }}
{{- end }}
{{- end }}
{{- end }}

{{- define "mission-control.scheme" -}}
{{ ternary "https" "http" .Values.tls.enabled }}
{{- end }}

{{- define "mission-control.amqpPort" -}}
{{ ternary "5671" "5672" .Values.tls.enabled }}
{{- end }}

{{- define "mission-control.managementPort" -}}
{{ ternary "15671" "15672" .Values.tls.enabled }}
{{- end }}
