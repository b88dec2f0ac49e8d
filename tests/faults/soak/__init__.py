"""Hours of mixed load with faults in turn: what grows, and what gets slower."""
