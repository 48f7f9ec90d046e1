{{/* Names, labels and the image. */}}

{{- define "imagegateway.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "imagegateway.selector" -}}
app.kubernetes.io/name: imagegateway
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "imagegateway.labels" -}}
{{ include "imagegateway.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "imagegateway.image" -}}
{{- $repository := required "image.repository names the registry and image that `make image` was pushed to" .Values.image.repository -}}
{{- if .Values.image.digest }}{{ $repository }}@{{ .Values.image.digest }}
{{- else }}{{ $repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{/* Secret with the internal certificate of a component. */}}
{{- define "imagegateway.certificate" -}}
{{- if .root.Values.internalTls.certManager }}{{ include "imagegateway.fullname" .root }}-{{ .component }}-internal
{{- else }}{{ required (printf "internalTls.existingSecrets.%s names the Secret of this part's certificate" .component) (get .root.Values.internalTls.existingSecrets .component) }}{{ end }}
{{- end }}
