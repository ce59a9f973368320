variable "name" {
  description = "Start of the names of queues, key and role."
  type        = string
  default     = "email-processor"
}

variable "bucket_name" {
  description = "Name of the bucket to archive into; made from the name and the account if null."
  type        = string
  default     = null
}

variable "oidc_provider_arn" {
  description = "The cluster's IAM OIDC provider, for IRSA. Null: the role is for EKS Pod Identity."
  type        = string
  default     = null

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:oidc-provider/[^:/]+/.+$", coalesce(var.oidc_provider_arn, "arn:aws:iam::000000000000:oidc-provider/none/none")))
    error_message = "It looks like arn:aws:iam::ACCOUNT:oidc-provider/oidc.eks.REGION.amazonaws.com/id/ID: with another one nobody could take the role."
  }
}

variable "namespace" {
  description = "Namespace of the release."
  type        = string
  default     = "email-processor"
}

variable "service_account_name" {
  description = "Service account of the release."
  type        = string
  default     = "email-processor"
}

variable "sender_arns" {
  description = "Roles or users of the email validation service, allowed to send."
  type        = list(string)
  default     = []
}

variable "visibility_timeout_seconds" {
  description = "As VISIBILITY_TIMEOUT_SECONDS of the service."
  type        = number
  default     = 300

  validation {
    condition     = var.visibility_timeout_seconds >= 30 && var.visibility_timeout_seconds <= 43200
    error_message = "SQS and the service allow 30 to 43200 seconds."
  }
}

variable "max_receive_count" {
  description = "Receives before a message goes to the dead-letter queue."
  type        = number
  default     = 5

  validation {
    condition     = var.max_receive_count >= 3
    error_message = "Below 3 a pod that is killed twice costs a good email its place."
  }
}

variable "alarm_actions" {
  description = "ARNs that are told when an alarm begins and ends, such as an SNS topic's. Without any, alarms only show."
  type        = list(string)
  default     = []
}

variable "oldest_message_alarm_seconds" {
  description = "An email that has waited longer than this on the queue, for five minutes, is an alarm."
  type        = number
  default     = 600

  validation {
    condition     = var.oldest_message_alarm_seconds >= 60
    error_message = "CloudWatch has one figure a minute; below 60 seconds every redelivery would be an alarm."
  }
}

variable "key_prefix" {
  description = "As S3_KEY_PREFIX of the service, with or without slashes before and behind."
  type        = string
  default     = "emails"

  validation {
    condition     = can(regex("^/*[0-9A-Za-z_!.*'()=-]+(/[0-9A-Za-z_!.*'()=-]+)*/*$", var.key_prefix))
    error_message = "The service takes letters, digits and !_.*'()=- in segments between single slashes: with anything else it would not start."
  }
}

variable "quarantine_prefix" {
  description = "As S3_QUARANTINE_PREFIX of the service, with or without slashes before and behind."
  type        = string
  default     = "quarantine"

  validation {
    condition     = can(regex("^/*[0-9A-Za-z_!.*'()=-]+(/[0-9A-Za-z_!.*'()=-]+)*/*$", var.quarantine_prefix))
    error_message = "The service takes letters, digits and !_.*'()=- in segments between single slashes: with anything else it would not start."
  }
}

variable "glacier_after_days" {
  description = "Days before an email goes to Glacier Instant Retrieval; 0 leaves it in Standard."
  type        = number
  default     = 90
}

variable "versioning" {
  description = "Keep what people delete or overwrite, and pay for it. The service itself never overwrites."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags for everything."
  type        = map(string)
  default     = {}
}
