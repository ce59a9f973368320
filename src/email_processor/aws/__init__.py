"""The only room that knows AWS: requests signed here or sent by aioboto3 and obstore, to where the SDK sends them."""
