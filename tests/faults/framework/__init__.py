"""The framework of the fault campaigns: what all of them share, from the command line to the report."""
