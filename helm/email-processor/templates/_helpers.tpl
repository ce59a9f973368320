{{/*
At most 46 characters, for what is appended: Kubernetes allows a CronJob 52, "-check" with them, and cuts a pod's name
at 58 before its five random characters, by which the alerts would not know the pods: "-", ten of the ReplicaSet, "-".
*/}}
{{- define "email-processor.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 46 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 46 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 46 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "email-processor.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{/* The matchers by which Prometheus tells this release's series from all others. */}}
{{- define "email-processor.series" -}}
{{- $namespace := include "email-processor.namespace" . -}}
{{- $name := include "email-processor.fullname" . -}}
{{- if .Values.monitoring.selector -}}
{{- .Values.monitoring.selector -}}
{{- else if eq .Values.monitoring.scrape "annotations" -}}
{{- /* one job for the pods of all releases */ -}}
namespace="{{ $namespace }}", pod=~"{{ $name }}-[a-z0-9]+-[a-z0-9]+"
{{- else -}}
namespace="{{ $namespace }}", job="{{ $name }}"
{{- end -}}
{{- end -}}

{{- define "email-processor.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "email-processor.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "email-processor.image" -}}
{{- $repository := .Values.image.repository -}}
{{- with (default dict .Values.global).imageRegistry }}{{ $repository = printf "%s/%s" (trimSuffix "/" .) $repository }}{{ end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* Bytes of a quantity of memory, such as 256Mi. */}}
{{- define "email-processor.bytes" -}}
{{- $units := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $text := include "email-processor.scalar" . -}}
{{- mulf (regexFind "^[0-9.]+" $text | float64) (get $units (regexReplaceAll "^[0-9.]+" $text "") | default 1) | int64 -}}
{{- end -}}

{{/* What selects the pods of the service; never changes, since a Deployment's selector cannot. */}}
{{- define "email-processor.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: service
{{- end -}}

{{/* Labels of an object: (dict "root" $ "component" "service" "labels" (dict)). The chart's own win. */}}
{{- define "email-processor.labels" -}}
{{- $own := dict
  "app.kubernetes.io/name" (default .root.Chart.Name .root.Values.nameOverride | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/instance" .root.Release.Name
  "app.kubernetes.io/component" (default "service" .component)
  "app.kubernetes.io/part-of" "email-processor"
  "app.kubernetes.io/version" .root.Chart.AppVersion
  "app.kubernetes.io/managed-by" .root.Release.Service
  "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_")
-}}
{{- mergeOverwrite (dict) (default dict .root.Values.commonLabels) (default dict .labels) $own | toYaml -}}
{{- end -}}

{{/*
Name, labels and annotations of an object: as above, and "name" or "suffix", and "annotations". Here and wherever else a
name is written it is quoted: a release or a namespace may be called 2024, and Kubernetes takes no number for a name.
*/}}
{{- define "email-processor.metadata" -}}
name: {{ printf "%s%s" (default (include "email-processor.fullname" .root) .name) (default "" .suffix) | quote }}
namespace: {{ include "email-processor.namespace" .root | quote }}
labels:
  {{- include "email-processor.labels" . | nindent 2 }}
{{- with mergeOverwrite (dict) (default dict .root.Values.commonAnnotations) (default dict .annotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A number as people write it: Helm would write a big one with an exponent. */}}
{{- define "email-processor.scalar" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{- define "email-processor.terminationGracePeriodSeconds" -}}
{{- add 10 (ceil .Values.settings.SHUTDOWN_GRACE_SECONDS | int64) -}}
{{- end -}}

{{/* The settings as environment variables; what is empty is left to the application's default. */}}
{{- define "email-processor.environment" -}}
{{- range $name, $value := .Values.settings }}
{{- if ne (toString $value) "" }}
{{ $name }}: {{ include "email-processor.scalar" $value | quote }}
{{- end }}
{{- end }}
POD_TERMINATION_GRACE_SECONDS: {{ include "email-processor.terminationGracePeriodSeconds" . | quote }}
{{- end -}}

{{/* What all pods of the chart share. */}}
{{- define "email-processor.pod" -}}
serviceAccountName: {{ include "email-processor.serviceAccountName" . | quote }}
automountServiceAccountToken: false {{- /* IRSA and EKS Pod Identity mount a token of their own */}}
enableServiceLinks: false
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with concat (default list (default dict .Values.global).imagePullSecrets) (default list .Values.imagePullSecrets) }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if or .Values.settings.LOG_FILE .Values.extraVolumes }}
volumes:
  {{- if .Values.settings.LOG_FILE }}
  - name: log
    emptyDir:
      sizeLimit: 64Mi
  {{- end }}
  {{- with .Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* What all containers of the chart share. */}}
{{- define "email-processor.container" -}}
name: email-processor
image: {{ include "email-processor.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- with .Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
envFrom:
  - configMapRef:
      name: {{ include "email-processor.fullname" . | quote }}
  {{- with .Values.extraEnvFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.extraEnv }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if or .Values.settings.LOG_FILE .Values.extraVolumeMounts }}
volumeMounts:
  {{- if .Values.settings.LOG_FILE }}
  - name: log
    mountPath: {{ dir .Values.settings.LOG_FILE }}
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}
