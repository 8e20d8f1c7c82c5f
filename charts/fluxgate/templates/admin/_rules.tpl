{{/* What the admin API needs in every namespace: it reads as a controller does, for it translates what it is
     asked to try, and writes objects of our kinds alone. */}}
{{- define "fluxgate.adminRules" -}}
- apiGroups: [gateway.fluxgate.io]
  resources: [apikeys, backends, gatewayconfigs, plugins, routes, tenants, upstreams]
  verbs: [get, list, watch, create, update, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [list, watch]
# get: of a Secret that a dry run names, and nothing else does
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
{{- if .Values.ingressClass.enabled }}
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [list, watch]
{{- end }}
{{- end -}}
