"""The demo: the real service against an SQS and an S3 of its own, in memory. No account, nothing left behind."""
