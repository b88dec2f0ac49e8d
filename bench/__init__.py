"""Benchmarks: each figure is a ratio against a limit that is measured beside it, in the same run."""
