"""Protection of secrets and of network addresses. It imports no other room."""
