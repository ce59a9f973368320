{{/* The rules between settings, as the application has them: here they are told at install, not at run time. */}}
{{- define "email-processor.validate" -}}
{{- $s := .Values.settings -}}
{{- $_ := required "settings.SQS_QUEUE_URL is required: the URL of the queue to read from" $s.SQS_QUEUE_URL -}}
{{- $_ := required "settings.S3_BUCKET_NAME is required: the bucket to archive into" $s.S3_BUCKET_NAME -}}
{{- $receive := addf $s.SQS_WAIT_TIME_SECONDS $s.SQS_TIMEOUT_SECONDS -}}
{{- if ge $receive (float64 $s.VISIBILITY_TIMEOUT_SECONDS) -}}
{{- fail (printf "settings.SQS_WAIT_TIME_SECONDS and SQS_TIMEOUT_SECONDS: a receive may take %v s, which must be less than VISIBILITY_TIMEOUT_SECONDS (%v)" $receive $s.VISIBILITY_TIMEOUT_SECONDS) -}}
{{- end -}}
{{- if gt (mulf $s.S3_TIMEOUT_SECONDS 2) (float64 $s.VISIBILITY_TIMEOUT_SECONDS) -}}
{{- fail (printf "settings.S3_TIMEOUT_SECONDS must be at most half of VISIBILITY_TIMEOUT_SECONDS (%v)" $s.VISIBILITY_TIMEOUT_SECONDS) -}}
{{- end -}}
{{- if and $s.IN_FLIGHT_MAX_BYTES (lt (int64 $s.IN_FLIGHT_MAX_BYTES) (mul $s.MAX_MESSAGES_PER_POLL 1048576)) -}}
{{- fail "settings.IN_FLIGHT_MAX_BYTES must hold MAX_MESSAGES_PER_POLL messages of 1 MiB, or nothing would ever be received" -}}
{{- end -}}
{{- if eq (trimAll "/" $s.S3_KEY_PREFIX) (trimAll "/" $s.S3_QUARANTINE_PREFIX) -}}
{{- fail "settings.S3_QUARANTINE_PREFIX must differ from S3_KEY_PREFIX" -}}
{{- end -}}
{{- if and $s.S3_KMS_KEY_ID (ne $s.S3_SSE "aws:kms") -}}
{{- fail "settings.S3_SSE must be aws:kms, since S3_KMS_KEY_ID is set" -}}
{{- end -}}
{{- $region := include "email-processor.regionOfURL" . -}}
{{- if and $region $s.SQS_REGION (ne $region $s.SQS_REGION) -}}
{{- fail (printf "settings.SQS_REGION is %s, but SQS_QUEUE_URL is in %s" $s.SQS_REGION $region) -}}
{{- end -}}
{{- if gt (int64 .Values.autoscaling.minReplicas) (int64 .Values.autoscaling.maxReplicas) -}}
{{- fail "autoscaling.minReplicas must not be more than maxReplicas" -}}
{{- end -}}
{{- if and (eq .Values.monitoring.scrape "serviceMonitor") (not .Values.service.enabled) -}}
{{- fail "monitoring.scrape serviceMonitor needs service.enabled; podMonitor does not" -}}
{{- end -}}
{{- end -}}

{{/* The region that the queue's URL names; empty if it names none. */}}
{{- define "email-processor.regionOfURL" -}}
{{- $host := regexReplaceAll "^https?://([^/:]+).*$" .Values.settings.SQS_QUEUE_URL "${1}" -}}
{{- $region := regexReplaceAll "^(?:(?:vpce-[\\w-]+\\.)?sqs(?:-fips)?\\.)?([a-z]{2,4}(?:-[a-z]+)+-\\d{1,2})\\.(?:queue\\.|vpce\\.)?(?:amazonaws\\.(?:com|com\\.cn|eu)|api\\.aws)$" $host "${1}" -}}
{{- if ne $region $host -}}{{- $region -}}{{- end -}}
{{- end -}}
