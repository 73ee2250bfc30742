{{- define "b24relay.fullname" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "b24relay.selector" -}}
app.kubernetes.io/name: b24relay
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "b24relay.labels" -}}
{{ include "b24relay.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "b24relay.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ include "b24relay.fullname" . }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{/* The secret with the files that the configuration names. */}}
{{- define "b24relay.secret" -}}
{{- if and .Values.existingSecret .Values.secrets -}}
{{- fail "set either existingSecret or secrets, not both" -}}
{{- else if .Values.existingSecret -}}
{{ .Values.existingSecret }}
{{- else if not .Values.secrets -}}
{{- fail "set existingSecret: the name of a secret with http.token and each file that config names" -}}
{{- else if not (index .Values.secrets "http.token") -}}
{{- fail "secrets lacks http.token, at least 16 random characters: b24relay secret new" -}}
{{- else -}}
{{ include "b24relay.fullname" . }}
{{- end -}}
{{- end -}}

{{- define "b24relay.image" -}}
{{- if .Values.image.digest -}}
{{ printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else -}}
{{ printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end -}}
{{- end -}}
