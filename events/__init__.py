"""Events: what was changed, by whom and when, in one table that the audit log and the feed read."""
