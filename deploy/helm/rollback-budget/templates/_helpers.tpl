{{- define "rb.name" -}}
{{- printf "%s-%s" .Release.Name "rb" | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "rb.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "rb.selector" -}}
app.kubernetes.io/name: rollback-budget
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "rb.labels" -}}
{{ include "rb.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end -}}

{{/* A value as text: numbers of a file come as floating-point ones, and a million must not become 1e+06. */}}
{{- define "rb.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ toString . }}{{ end -}}
{{- end -}}

{{/* Settings as variables, and those of the secret as files: a password is in no process list and no description. */}}
{{- define "rb.env" -}}
- {name: ROLLBACK_BUDGET_HTTP_HOST, value: "0.0.0.0"}
- {name: ROLLBACK_BUDGET_LOG_FORMAT, value: json}
{{- range $name, $value := .settings }}
- {name: {{ printf "ROLLBACK_BUDGET_%s" (upper $name) }}, value: {{ include "rb.text" $value | quote }}}
{{- end }}
{{- range .secrets }}
- {name: {{ printf "ROLLBACK_BUDGET_%s_FILE" (upper .) }}, value: {{ printf "/run/secrets/rollback-budget/%s" . | quote }}}
{{- end }}
- name: ROLLBACK_BUDGET_WORKER_ID   # stable: back after a crash, it is the same worker
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
{{- end -}}

{{- define "rb.secretVolume" -}}
- name: secrets
  secret:
    secretName: {{ required "secret.name: the settings of the secret need its name" .root.Values.secret.name }}
    defaultMode: 0440
    items:
      {{- range .secrets }}
      - {key: {{ . }}, path: {{ . }}}
      {{- end }}
{{- end -}}

{{- define "rb.certificatesMount" -}}
{{- with .Values.certificates }}{{ if .secret }}
- {name: certificates, mountPath: {{ .path }}, readOnly: true}
{{- end }}{{ end -}}
{{- end -}}

{{- define "rb.certificatesVolume" -}}
{{- with .Values.certificates.secret }}
- name: certificates
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end -}}
{{- end -}}

{{- define "rb.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false   # a service's variables could look like settings
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - {name: {{ . }}}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "rb.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{- define "rb.probes" -}}
startupProbe:               # it may wait for Kafka and the store, and read the ledger, before it answers
  httpGet: {path: /livez, port: http}
  periodSeconds: 5
  failureThreshold: 120
livenessProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
{{- end -}}
