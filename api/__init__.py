"""What every API shares: errors, authentication, paging, idempotency. It imports no room."""
