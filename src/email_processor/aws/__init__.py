"""The only room that knows AWS: requests signed here or sent by the SDK, to where the SDK sends them."""
