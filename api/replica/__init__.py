"""Read lists from a read-only streaming standby of PostgreSQL (docs/replica.md).

`routing` sends queries to it, `status` tells whether it may be used, `positions` remembers up to where a user has to see,
and `reads` puts them together.
"""
