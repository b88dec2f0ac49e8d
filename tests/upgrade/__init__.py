"""A database and a cloud of the previous release, with jobs of every room in flight."""
