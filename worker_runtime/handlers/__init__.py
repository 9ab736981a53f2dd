"""The handlers that every image has. A heavy library is imported only by the handler that needs it."""
