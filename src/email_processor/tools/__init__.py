"""What is not the service: commands that look at it, feed it and show it. The service imports none of this."""
