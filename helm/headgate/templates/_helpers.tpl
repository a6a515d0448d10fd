{{/* Names, labels and rules that more than one template uses. */}}

{{- define "headgate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end }}

{{- define "headgate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "headgate.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "headgate.selectorLabels" -}}
app.kubernetes.io/name: {{ include "headgate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "headgate.labels" -}}
{{ include "headgate.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: headgate
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "headgate.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "headgate.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "Set serviceAccount.name when serviceAccount.create is false: the admission policies and bindings name it." .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{/* The user name by which the API server knows the operator. */}}
{{- define "headgate.operatorUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "headgate.serviceAccountName" . }}
{{- end }}

{{- define "headgate.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end }}

{{/* The configuration file: the admin's values and, first, the namespaces, which are the chart's to know. */}}
{{- define "headgate.config" -}}
{{ toYaml (merge (dict "namespaces" .Values.namespaces) .Values.config) }}
{{- end }}

{{/* The kinds of the routers in `config.routers`, those of other packages in `rbac.pluginKinds`, and no other. */}}
{{- define "headgate.routerRules" -}}
{{- $kinds := dict
  "gatewayAPI" (dict "gateway.networking.k8s.io" (list "httproutes" "grpcroutes"))
  "contour" (dict "projectcontour.io" (list "httpproxies"))
  "istio" (dict "networking.istio.io" (list "virtualservices"))
  "traefik" (dict "traefik.io" (list "traefikservices"))
  "smi" (dict "split.smi-spec.io" (list "trafficsplits"))
  "apisix" (dict "apisix.apache.org" (list "apisixroutes"))
  "nginx" (dict "networking.k8s.io" (list "ingresses"))
  "alb" (dict "networking.k8s.io" (list "ingresses")) }}
{{- range $router := default (list "gatewayAPI") .Values.config.routers }}
{{- range $group, $resources := default dict (get $kinds $router) }}
- apiGroups: [{{ $group }}]
  resources: [{{ join ", " $resources }}]
  verbs: [get, list, watch, patch]
{{- end }}
{{- end }}
{{- range .Values.rbac.pluginKinds }}
- apiGroups: [{{ .apiGroup }}]
  resources: [{{ join ", " .resources }}]
  verbs: [get, list, watch, patch]
{{- end }}
{{- end }}

{{/* What replaces pods in place, only for the kinds in `config.rollingKinds`. */}}
{{- define "headgate.rollingRules" -}}
{{- with .Values.config.rollingKinds }}
# Workloads that are released in place: how far their update goes is written, of a DaemonSet its template; pods are evicted.
- apiGroups: [apps]
  resources: [{{ range $i, $kind := . }}{{ if $i }}, {{ end }}{{ lower $kind }}s{{ end }}]
  verbs: [get, list, watch, patch]
- apiGroups: [""]
  resources: [pods/eviction]
  verbs: [create]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch]
{{- end }}
{{- end }}

{{/* What replaces pods without a release, only with `config.restarts`. */}}
{{- define "headgate.restartRules" -}}
{{- if .Values.config.restarts }}
# Pods that are older than a Rollout's restartAt are evicted, which a PodDisruptionBudget may refuse.
- apiGroups: [""]
  resources: [pods/eviction]
  verbs: [create]
{{- end }}
{{- end }}

{{/* What copies the configuration of a revision, only for the kinds in `config.snapshotKinds`. */}}
{{- define "headgate.snapshotRules" -}}
{{- with .Values.config.snapshotKinds }}
# What pods read: it is read by name and copied, never listed, watched or changed.
- apiGroups: [""]
  resources: [{{ range $i, $kind := . }}{{ if $i }}, {{ end }}{{ lower $kind }}s{{ end }}]
  verbs: [get, create, delete]
{{- end }}
{{- end }}

{{/*
What the operator may do in a namespace that it manages. Each rule says what it is for; nothing else is granted: no secrets
unless they are named in `config.snapshotKinds`, no exec, no pods to create, no rights to give away, no wildcards.
*/}}
{{- define "headgate.operatorRules" -}}
# Its own kinds. Specs belong to people: `patch` on the main resource is for the finalizer.
- apiGroups: [headgate.dev]
  resources: [rollouts, rolloutactions]
  verbs: [get, list, watch, patch]
- apiGroups: [headgate.dev]
  resources: [rollouts/status, rolloutactions/status]
  verbs: [patch]
- apiGroups: [headgate.dev]
  resources: [qualitygates]
  verbs: [get, list, watch]
# The workloads: an adopted Deployment is scaled, ReplicaSets and ControllerRevisions are the operator's own.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, patch]
- apiGroups: [apps]
  resources: [replicasets, controllerrevisions]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list]
# Whether the namespace is being deleted. In a Role this is the Role's own namespace and no other.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
# The traffic: selectors and weights are written, where the requests really go is only read.
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, patch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
{{- include "headgate.routerRules" . }}
{{- include "headgate.rollingRules" . }}
{{- include "headgate.restartRules" . }}
{{- include "headgate.snapshotRules" . }}
# What it tells people.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{/* What people may do, by role. No role has a status verb, and actions are never changed once they were made. */}}
{{- define "headgate.viewRules" -}}
- apiGroups: [headgate.dev]
  resources: [rollouts, qualitygates, rolloutactions{{ if not .Values.namespaces }}, environments{{ end }}]
  verbs: [get, list, watch]
{{- end }}

{{- define "headgate.editRules" -}}
{{ include "headgate.viewRules" . }}
- apiGroups: [headgate.dev]
  resources: [rollouts, qualitygates]
  verbs: [create, update, patch, delete, deletecollection]
- apiGroups: [headgate.dev]
  resources: [rollouts/scale]
  verbs: [get, update, patch]
# Creating an action is asking; whether it is granted is a matter of the verbs of headgate-release-manager.
- apiGroups: [headgate.dev]
  resources: [rolloutactions]
  verbs: [create]
{{- end }}

{{- define "headgate.releaseManagerRules" -}}
{{ include "headgate.viewRules" . }}
- apiGroups: [headgate.dev]
  resources: [rolloutactions]
  verbs: [create]
# Checked by the admission policy of RolloutActions, for the Rollout that an action names.
- apiGroups: [headgate.dev]
  resources: [rollouts]
  verbs: [promote, pause, resume, abort, retry, undo, approve, override, hotfix, restart]
{{- end }}
