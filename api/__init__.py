"""The base of the API: errors, authentication, pagination, idempotency. It imports no room."""
