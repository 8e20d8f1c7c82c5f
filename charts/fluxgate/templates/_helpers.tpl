{{/* The release's name in the names of its objects, short enough for a suffix. */}}
{{- define "fluxgate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{/* Labels that never change, of (list $ "component"). */}}
{{- define "fluxgate.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* All labels, of (list $ "component"). */}}
{{- define "fluxgate.labels" -}}
{{- $root := index . 0 -}}
{{ include "fluxgate.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/part-of: fluxgate
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* metadata.name, namespace and labels, of (list $ "component" "name"). */}}
{{- define "fluxgate.metadata" -}}
name: {{ index . 2 }}
namespace: {{ (index . 0).Release.Namespace }}
labels:
  {{- include "fluxgate.labels" . | nindent 2 }}
{{- end -}}

{{- define "fluxgate.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Where pods may run and how they are named to the runtime: the same for every pod of ours. */}}
{{- define "fluxgate.podSettings" -}}
{{- $root := index . 0 -}}
{{- $settings := index . 1 -}}
# variables of Services, such as FLUXGATE_HTTP_PORT of one called fluxgate-http, are not options
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  seccompProfile:
    type: RuntimeDefault
  {{- with $settings.fsGroup }}
  # whose volume is root's without it
  fsGroup: {{ . }}
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $settings.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $settings.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $settings.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* No UID: any will do, and OpenShift's restricted-v2 chooses one. */}}
{{- define "fluxgate.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{/* Spread over nodes and zones as far as there are any, of (list $ component settings). */}}
{{- define "fluxgate.spread" -}}
{{- $selector := include "fluxgate.selector" . -}}
{{- $settings := index . 2 -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- $selector | nindent 8 }}
{{- if $settings.affinity }}
affinity:
  {{- toYaml $settings.affinity | nindent 2 }}
{{- else }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- $selector | nindent 14 }}
{{- end }}
{{- end -}}

{{/* The GatewayConfig's name, and the key by which its Envoys ask for it. */}}
{{- define "fluxgate.gatewayName" -}}
{{ .Values.gateway.name | default (include "fluxgate.fullname" .) }}
{{- end -}}
{{- define "fluxgate.gatewayKey" -}}
{{- if eq .Release.Namespace "default" -}}
{{ include "fluxgate.gatewayName" . }}
{{- else -}}
{{ .Release.Namespace }}/{{ include "fluxgate.gatewayName" . }}
{{- end -}}
{{- end -}}

{{- define "fluxgate.rateLimitName" -}}
{{ include "fluxgate.fullname" . }}-ratelimit
{{- end -}}

{{- define "fluxgate.controllerName" -}}
{{ include "fluxgate.fullname" . }}-controller
{{- end -}}
