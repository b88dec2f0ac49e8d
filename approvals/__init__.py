"""Requests that wait for somebody's agreement: policies, approvals, and what they release."""
