{{- define "fluxgate.adminName" -}}
{{ include "fluxgate.fullname" . }}-admin
{{- end -}}

{{/* Whether the database is PostgreSQL: "true", or nothing for a SQLite file. */}}
{{- define "fluxgate.adminPostgres" -}}
{{- with .Values.admin.database -}}
{{- if or .url .existingSecret -}}
true
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The variable that names the database; of (list $ "name of the Secret made by us"). */}}
{{- define "fluxgate.adminDatabase" -}}
{{- $root := index . 0 -}}
{{- $database := $root.Values.admin.database -}}
name: FLUXGATE_ADMIN_DATABASE
{{- if include "fluxgate.adminPostgres" $root }}
valueFrom:
  secretKeyRef:
    name: {{ $database.existingSecret | default (index . 1) }}
    key: {{ ternary $database.key "url" (not (empty $database.existingSecret)) }}
{{- else }}
value: sqlite+aiosqlite:////var/lib/fluxgate/admin.db
{{- end }}
{{- end -}}

{{/* Where others reach the API. */}}
{{- define "fluxgate.adminUrl" -}}
{{ ternary "https" "http" (not (empty .Values.admin.tls.secretName)) }}://{{ include "fluxgate.adminName" . }}.{{ .Release.Namespace }}.svc:8090
{{- end -}}
