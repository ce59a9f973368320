output "queue_url" {
  description = "settings.SQS_QUEUE_URL of the chart."
  value       = aws_sqs_queue.this.url
}

output "dead_letter_queue_url" {
  description = "Where messages go that were received too often."
  value       = aws_sqs_queue.dead.url
}

output "bucket_name" {
  description = "settings.S3_BUCKET_NAME of the chart."
  value       = aws_s3_bucket.this.id
}

output "role_arn" {
  description = "serviceAccount.roleArn of the chart, with IRSA."
  value       = aws_iam_role.this.arn
}

output "key_arn" {
  description = "The key of queue and bucket."
  value       = aws_kms_key.this.arn
}

output "reader_policy_arn" {
  description = "For who finds, shows, exports and audits."
  value       = aws_iam_policy.reader.arn
}

output "operator_policy_arn" {
  description = "For who also ends the quarantine and archives dead letters."
  value       = aws_iam_policy.operator.arn
}
