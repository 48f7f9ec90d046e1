{{/* Settings of the processes, as environment variables. */}}

{{/* Settings of all parts, and paths of the secrets that the component may read (`secrets`: lower-case names). */}}
{{- define "imagegateway.settings" -}}
- {name: IMAGEGATEWAY_PUBLIC_URL, value: {{ required "publicUrl is the origin by which callers reach the gateway" .root.Values.publicUrl | quote }}}
- {name: IMAGEGATEWAY_INTERNAL_TLS_CERT, value: /run/certificates/internal/tls.crt}
- {name: IMAGEGATEWAY_INTERNAL_TLS_KEY, value: /run/certificates/internal/tls.key}
- {name: IMAGEGATEWAY_INTERNAL_TLS_CA, value: /run/certificates/internal/ca.crt}
{{- range $name, $value := .root.Values.settings }}
- {name: IMAGEGATEWAY_{{ $name | upper }}, value: {{ toString $value | quote }}}
{{- end }}
{{- range include "imagegateway.readable" . | fromJsonArray }}
- {name: IMAGEGATEWAY_{{ . | upper }}_FILE, value: /run/secrets/imagegateway/{{ get $.root.Values.secrets.files . }}}
{{- end }}
{{- end }}

{{/* Names of the secrets that the component may read: those of `secrets`, by default all, without those of `withheld`. */}}
{{- define "imagegateway.readable" -}}
{{- $names := list }}
{{- range $name := keys .root.Values.secrets.files | sortAlpha }}
{{- if and (or (not $.secrets) (has $name $.secrets)) (not (has $name ($.withheld | default list))) }}
{{- $names = append $names $name }}
{{- end }}
{{- end }}
{{- toJson $names }}
{{- end }}

{{/* Address and health of the process: metrics and probes on one port that is not public. */}}
{{- define "imagegateway.side" -}}
- {name: IMAGEGATEWAY_METRICS_HOST, value: 0.0.0.0}
- {name: IMAGEGATEWAY_METRICS_PORT, value: "9464"}
- {name: IMAGEGATEWAY_LAME_DUCK, value: {{ .lameDuck | quote }}}
{{- end }}

{{/* NATS: the cluster of this release, or `nats_url` of secrets.files. */}}
{{- define "imagegateway.nats" -}}
{{- if .Values.nats.enabled }}
- name: NATS_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ .Values.secrets.existingSecret }}, key: {{ .Values.nats.passwordKey }}}}
- {name: IMAGEGATEWAY_NATS_URL, value: "nats://gateway:$(NATS_PASSWORD)@{{ include "imagegateway.fullname" . }}-nats:4222"}
- {name: IMAGEGATEWAY_NATS_REPLICAS, value: {{ .Values.nats.replicas | quote }}}
{{- else }}
{{- $_ := required "nats.enabled is false: name the key of the server's URL in secrets.files.nats_url" .Values.secrets.files.nats_url }}
- {name: IMAGEGATEWAY_NATS_REPLICAS, value: {{ .Values.nats.externalReplicas | quote }}}
{{- end }}
{{- end }}

{{/* The media store. */}}
{{- define "imagegateway.store" -}}
- {name: IMAGEGATEWAY_MEDIA_URL, value: {{ required "store.url names the bucket, such as s3://bucket/prefix" .Values.store.url | quote }}}
{{- range $name, $value := .Values.store.environment }}
- {name: {{ $name }}, value: {{ toString $value | quote }}}
{{- end }}
{{- end }}
