"""The pages of requests, policies and delegations."""
