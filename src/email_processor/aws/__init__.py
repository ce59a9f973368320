"""The only room that knows AWS: SQS through aioboto3, the PUT through obstore, credentials and endpoints for both."""
