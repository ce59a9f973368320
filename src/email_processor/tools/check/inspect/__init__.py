"""Looking at AWS as the service finds it: facts for `email-processor check`. Nothing is changed unless asked to."""
