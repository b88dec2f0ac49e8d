"""The task manager: commands, jobs, steps, locks and async tasks. It knows no domain."""
