{{/* What a controller needs in every namespace it watches. Reading is for all; of what it writes,
     users' objects only get a status. */}}
{{- define "fluxgate.namespaceRules" -}}
- apiGroups: [gateway.fluxgate.io]
  resources: [apikeys, backends, gatewayconfigs, plugins, routes, tenants, upstreams]
  verbs: [list, watch]
- apiGroups: [gateway.fluxgate.io]
  resources: [gatewayconfigs]
  verbs: [get]
- apiGroups: [gateway.fluxgate.io]
  resources: [apikeys/status, backends/status, gatewayconfigs/status, plugins/status, routes/status, tenants/status, upstreams/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [secrets, services]
  verbs: [get, list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, list, watch]
# asked for on every cluster: without the right the answer would be 403, not "no such kind"
- apiGroups: [route.openshift.io]
  resources: [routes]
  verbs: [list]
{{- if .Values.ingressClass.enabled }}
- apiGroups: [networking.k8s.io]
  resources: [ingresses/status]
  verbs: [patch]
# what of an Ingress cannot be served is said in an Event: its status has no place for words
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [get, create, patch]
{{- end }}
{{- if .Values.controller.exposure }}
- apiGroups: [""]
  resources: [services]
  verbs: [create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [create, patch, delete]
{{- if .Capabilities.APIVersions.Has "route.openshift.io/v1" }}
- apiGroups: [route.openshift.io]
  resources: [routes]
  verbs: [get, create, patch, delete]
- apiGroups: [route.openshift.io]
  resources: [routes/custom-host]
  verbs: [create, update]
{{- end }}
{{- end }}
{{- end -}}
