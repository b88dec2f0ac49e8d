"""A database and a cloud of the release before, with jobs of every room in flight."""
