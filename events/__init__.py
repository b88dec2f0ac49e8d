"""Events: each change with its actor and time, in one table that the audit log and the feed read."""
