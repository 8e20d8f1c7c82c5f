{{/* Annotations of a hook, of (list "events" weight). What a hook made goes when it succeeded,
     and stays for a look when it failed; the next run of the hook deletes it first. */}}
{{- define "fluxgate.hook" -}}
annotations:
  helm.sh/hook: {{ index . 0 }}
  helm.sh/hook-weight: {{ index . 1 | quote }}
  helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* A Job that runs `fluxgate`, and the ServiceAccount it runs as. A dict of
     root, name, component, events, args, catalog: whether it mounts the catalogues, env: a list of
     variables, and token: false for a Job that asks the API server nothing. */}}
{{- define "fluxgate.job" -}}
{{- $root := .root -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "fluxgate.metadata" (list $root .component .name) | nindent 2 }}
  {{- include "fluxgate.hook" (list .events -10) | nindent 2 }}
{{- if eq .token false }}
automountServiceAccountToken: false
{{- end }}
---
apiVersion: batch/v1
kind: Job
metadata:
  {{- include "fluxgate.metadata" (list $root .component .name) | nindent 2 }}
  {{- include "fluxgate.hook" (list .events 0) | nindent 2 }}
spec:
  backoffLimit: {{ $root.Values.jobs.backoffLimit }}
  activeDeadlineSeconds: {{ $root.Values.jobs.activeDeadlineSeconds }}
  # Helm leaves a Job that failed, also at uninstall
  ttlSecondsAfterFinished: {{ $root.Values.jobs.ttlSecondsAfterFinished }}
  template:
    metadata:
      labels:
        {{- include "fluxgate.selector" (list $root .component) | nindent 8 }}
    spec:
      restartPolicy: Never
      serviceAccountName: {{ .name }}
      {{- include "fluxgate.podSettings" (list $root $root.Values.jobs) | nindent 6 }}
      containers:
        - name: fluxgate
          image: {{ include "fluxgate.image" $root }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          {{- include "fluxgate.containerSecurity" $root | nindent 10 }}
          args:
            {{- toYaml .args | nindent 12 }}
          {{- with .env }}
          env:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          resources:
            {{- toYaml $root.Values.jobs.resources | nindent 12 }}
          volumeMounts:
            - {name: tmp, mountPath: /tmp}
            {{- if .catalog }}
            {{- range include "fluxgate.catalogs" $root | fromYamlArray }}
            - {name: {{ .volume }}, mountPath: {{ .folder }}, readOnly: true}
            {{- end }}
            {{- end }}
      volumes:
        - name: tmp
          emptyDir: {}
        {{- if .catalog }}
        {{- range include "fluxgate.catalogs" $root | fromYamlArray }}
        - name: {{ .volume }}
          configMap:
            name: {{ .configMap }}
        {{- end }}
        {{- end }}
{{- end -}}

{{/* The ConfigMaps that hold catalogues, where a Job finds each of them, and under which names. */}}
{{- define "fluxgate.catalogs" -}}
- volume: routes
  configMap: {{ include "fluxgate.fullname" . }}-routes
  folder: /etc/fluxgate/routes
  keys: {{ ternary "[routes.json, public-route-catalog.json]" "[routes.json]" (not (empty .Values.publicRoutes.catalog)) }}
{{- with .Values.publicRoutes.configMap }}
{{- if .name }}
- volume: public-routes
  configMap: {{ .name }}
  folder: /etc/fluxgate/public-routes
  keys: [{{ .key }}]
{{- end }}
{{- end }}
{{- end -}}

{{/* --catalog=FILE for every catalogue, as a YAML list of arguments. */}}
{{- define "fluxgate.catalogArgs" -}}
{{- range include "fluxgate.catalogs" . | fromYamlArray }}
{{- $folder := .folder }}
{{- range .keys }}
- --catalog={{ $folder }}/{{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Role and RoleBinding for the ServiceAccount of a hook's Job, a dict of root, name, component,
     events and verbs: what it may do with Routes. */}}
{{- define "fluxgate.routesRole" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  {{- include "fluxgate.metadata" (list .root .component .name) | nindent 2 }}
  {{- include "fluxgate.hook" (list .events -10) | nindent 2 }}
rules:
  - apiGroups: [gateway.fluxgate.io]
    resources: [routes]
    verbs: {{ toJson .verbs }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "fluxgate.metadata" (list .root .component .name) | nindent 2 }}
  {{- include "fluxgate.hook" (list .events -5) | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ .name }}
subjects:
  - kind: ServiceAccount
    name: {{ .name }}
    namespace: {{ .root.Release.Namespace }}
{{- end -}}
