"""Archives every validated email from an SQS queue as one JSON object in S3."""

__version__ = "1.0.0"
