"""Use cases of notifications, a module for each subject."""
