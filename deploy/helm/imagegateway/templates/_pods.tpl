{{/* Parts of pods that all components share. */}}

{{/* Security context of a pod: the profile `restricted` of the Pod Security Standards. */}}
{{- define "imagegateway.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "imagegateway.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Fields of a pod before its containers. */}}
{{- define "imagegateway.pod" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
serviceAccountName: {{ include "imagegateway.fullname" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .grace }}
securityContext: {{- include "imagegateway.podSecurity" . | nindent 2 }}
topologySpreadConstraints:
  {{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "imagegateway.selector" $ | nindent 8 }}
  {{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Volumes: data, the certificate, and the keys of the Secret that the component may read. */}}
{{- define "imagegateway.volumes" -}}
- {name: data, emptyDir: {}}
- {name: tmp, emptyDir: {}}
- name: internal-certificate
  secret: {secretName: {{ include "imagegateway.certificate" . }}, defaultMode: 0440}
- name: secrets
  {{- $names := include "imagegateway.readable" . | fromJsonArray }}
  {{- if $names }}
  secret:
    secretName: {{ .root.Values.secrets.existingSecret }}
    defaultMode: 0440
    items:
      {{- range $names }}
      {{- $key := get $.root.Values.secrets.files . }}
      - {key: {{ $key }}, path: {{ $key }}}
      {{- end }}
  {{- else }}
  emptyDir: {}
  {{- end }}
{{- end }}

{{- define "imagegateway.mounts" -}}
- {name: data, mountPath: /var/lib/imagegateway}
- {name: tmp, mountPath: /tmp}
- {name: internal-certificate, mountPath: /run/certificates/internal, readOnly: true}
- {name: secrets, mountPath: /run/secrets/imagegateway, readOnly: true}
{{- end }}

{{/* Probes at the port of metrics. */}}
{{- define "imagegateway.probes" -}}
startupProbe:
  httpGet: {path: /startupz, port: metrics}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: metrics}
  periodSeconds: 3
  timeoutSeconds: 3
  failureThreshold: 1
{{- end }}

{{/* Deployment of a part that `imagegateway run` starts.

`component`, `values`, `arguments`, `ports` (name → number), `environment` (YAML text), `secrets` (empty: all). */}}
{{- define "imagegateway.part" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "imagegateway.fullname" .root }}-{{ .component }}
  labels: {{- include "imagegateway.labels" . | nindent 4 }}
spec:
  {{- if not .values.autoscaling.enabled }}
  replicas: {{ .values.replicas }}
  {{- end }}
  revisionHistoryLimit: 3
  strategy:
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  selector:
    matchLabels: {{- include "imagegateway.selector" . | nindent 6 }}
  template:
    metadata:
      labels: {{- include "imagegateway.labels" . | nindent 8 }}
      {{- with .values.podAnnotations }}
      annotations: {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      {{- include "imagegateway.pod" (merge (dict "grace" (add .values.lameDuck (eq .component "providers" | ternary 310 45))) .) | nindent 6 }}
      containers:
        - name: {{ .component }}
          image: {{ include "imagegateway.image" .root }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          command: {{ concat (list "imagegateway" "run") .arguments | toJson }}
          env:
            {{- include "imagegateway.settings" . | nindent 12 }}
            {{- include "imagegateway.side" .values | nindent 12 }}
            {{- include "imagegateway.store" .root | nindent 12 }}
            {{- .environment | nindent 12 }}
          {{- with .root.Values.store.credentialsSecret }}
          envFrom:
            - secretRef: {name: {{ . }}}
          {{- end }}
          ports:
            {{- range $name, $number := .ports }}
            - {name: {{ $name }}, containerPort: {{ $number }}}
            {{- end }}
            - {name: metrics, containerPort: 9464}
          {{- include "imagegateway.probes" . | nindent 10 }}
          resources: {{- toYaml .values.resources | nindent 12 }}
          securityContext: {{- include "imagegateway.containerSecurity" . | nindent 12 }}
          volumeMounts: {{- include "imagegateway.mounts" . | nindent 12 }}
      volumes: {{- include "imagegateway.volumes" . | nindent 8 }}
{{- end }}

{{/* Headless Service: its name resolves to every replica, so that clients balance and find the owner of a call. */}}
{{- define "imagegateway.headless" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "imagegateway.fullname" .root }}-{{ .component }}
  labels: {{- include "imagegateway.labels" . | nindent 4 }}
spec:
  clusterIP: None
  # Clients check the health themselves, and a part that stops still owns calls.
  publishNotReadyAddresses: true
  selector: {{- include "imagegateway.selector" . | nindent 4 }}
  ports:
    {{- range $name, $number := .ports }}
    - {name: {{ $name }}, port: {{ $number }}, targetPort: {{ $name }}}
    {{- end }}
    - {name: metrics, port: 9464, targetPort: metrics}
{{- end }}
