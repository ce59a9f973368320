{{/* The rules between settings, as the application has them: here they are told at install, not at run time. */}}
{{- define "email-processor.validate" -}}
{{- $s := .Values.settings -}}
{{- $_ := required "settings.SQS_QUEUE_URL is required: the URL of the queue to read from" $s.SQS_QUEUE_URL -}}
{{- $_ := required "settings.S3_BUCKET_NAME is required: the bucket to archive into" $s.S3_BUCKET_NAME -}}
{{- if regexMatch "[.][.]|^(xn--|sthree-|amzn-s3-demo-)|--x-s3$|^[0-9]+[.][0-9]+[.][0-9]+[.][0-9]+$" $s.S3_BUCKET_NAME -}}
{{- fail "settings.S3_BUCKET_NAME must be the name of a general purpose bucket, as S3 allows it" -}}
{{- end -}}
{{- if gt (len (regexFind "[^/]*$" $s.SQS_QUEUE_URL)) 80 -}}
{{- fail "settings.SQS_QUEUE_URL must end in a queue's name of at most 80 characters" -}}
{{- end -}}
{{- range $name := list "S3_KEY_PREFIX" "S3_QUARANTINE_PREFIX" -}}
{{- range $segment := splitList "/" (trimAll "/" (get $s $name)) -}}
{{- if has $segment (list "" "." "..") -}}
{{- fail (printf "settings.%s must not be empty or have empty, '.' or '..' segments" $name) -}}
{{- end -}}
{{- end -}}
{{- if gt (len (trimAll "/" (get $s $name))) 400 -}}
{{- fail (printf "settings.%s must have at most 400 characters" $name) -}}
{{- end -}}
{{- end -}}
{{- if $s.LOG_FILE -}}
{{- /* its directory becomes an empty volume, and hides what the image has there */ -}}
{{- $directory := clean (dir $s.LOG_FILE) -}}
{{- if or (regexMatch "^/(app|bin|boot|dev|etc|lib|lib32|lib64|proc|sbin|sys|usr)(/|$)" $directory) (has $directory (list "/" "/home" "/opt" "/root" "/run" "/srv" "/tmp" "/var" "/var/run")) -}}
{{- fail (printf "settings.LOG_FILE: a volume at %s would hide what the image has there; take a directory of its own, such as /var/log/email-processor" $directory) -}}
{{- end -}}
{{- end -}}
{{- if and (hasPrefix "arn:" $s.S3_KMS_KEY_ID) (not (regexMatch "^arn:[a-z-]+:kms:." $s.S3_KMS_KEY_ID)) -}}
{{- fail "settings.S3_KMS_KEY_ID must be the id, ARN or alias of a KMS key" -}}
{{- end -}}
{{- $hasEndpoint := false -}}
{{- range .Values.extraEnv }}{{ if hasPrefix "AWS_ENDPOINT_URL" .name }}{{ $hasEndpoint = true }}{{ end }}{{ end -}}
{{- if not (or $hasEndpoint .Values.extraEnvFrom (regexMatch "^[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}$" $s.AWS_REGION)) -}}
{{- fail (printf "settings.AWS_REGION: %s does not match the form of an AWS region, and there is no AWS_ENDPOINT_URL in extraEnv" $s.AWS_REGION) -}}
{{- end -}}
{{- $limit := (default dict (default dict .Values.resources).limits).memory -}}
{{- if $limit -}}
{{- if lt (include "email-processor.bytes" $limit | int64) (add (int64 $s.IN_FLIGHT_MAX_BYTES) 134217728) -}}
{{- fail (printf "resources.limits.memory is %v: the program needs 128 MiB beside settings.IN_FLIGHT_MAX_BYTES (%d), better 200 MiB" $limit (int64 $s.IN_FLIGHT_MAX_BYTES)) -}}
{{- end -}}
{{- /* the program, and a body in all the forms that it has at once while it is archived: docs/performance.md */ -}}
{{- $needed := add 83886080 (mul 4 (int64 $s.PAYLOAD_MAX_BYTES)) -}}
{{- if lt (include "email-processor.bytes" $limit | int64) $needed -}}
{{- fail (printf "settings.PAYLOAD_MAX_BYTES is %d: a body of that size may take four times as much memory, beside the program's 80 MiB, and resources.limits.memory is %v, so the pod would be killed; raise the limit to %dMi, or lower settings.PAYLOAD_MAX_BYTES" (int64 $s.PAYLOAD_MAX_BYTES) $limit (div (add $needed 1048575) 1048576)) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.serviceAccount.roleArn (not .Values.serviceAccount.create) -}}
{{- fail "serviceAccount.roleArn needs serviceAccount.create: put the role's annotation on the service account that you have" -}}
{{- end -}}
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
{{- $rolling := default dict .Values.strategy.rollingUpdate -}}
{{- if and (ne .Values.strategy.type "Recreate") (has (toString $rolling.maxSurge) (list "0" "0%")) (has (toString $rolling.maxUnavailable) (list "0" "0%")) -}}
{{- fail "strategy.rollingUpdate: maxSurge and maxUnavailable are both 0, so no pod may come and none may go; let one of them be 1" -}}
{{- end -}}
{{- $deadline := default 600 .Values.progressDeadlineSeconds -}}
{{- if ge (int64 .Values.minReadySeconds) (int64 $deadline) -}}
{{- fail (printf "minReadySeconds is %d: a rollout would be called failed before its first pod counts as available; make progressDeadlineSeconds (%d) larger" (int64 .Values.minReadySeconds) (int64 $deadline)) -}}
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
