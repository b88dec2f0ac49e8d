"""Services, their versions, upgrade and revert."""
