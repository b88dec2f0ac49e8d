"""The engine: how a job is recorded, moved on, undone, cancelled, recovered and ended.

The row is the truth. A worker that hears a doorbell

1. claims the job in one statement (owner, lease, attempt),
2. runs one step with no transaction open,
3. records what came of it in one transaction, which names the owner and so refuses a worker that came too late,

and goes on with the next step, or gives the process back when the step waits.
Whatever dies in between, the row says how far the job has come, and `sweep` has it looked at again.

Caveats:

1. A step may run twice (a crash between 2 and 3). Steps look for their own effect first; `Command.retrying` tells.
2. An effect may outlive its job's failure. Each step's undo takes it back before the job is `failed`.
3. Locks are rows. They are taken in key order in the caller's transaction and freed by the job's last write.
4. Leases and due times are the database's clock; only deadlines, which are minutes, are read on a worker's.
"""

from .advancing import advance
from .calling import back_off
from .decisions import allowed_decisions
from .submission import (
    BusyError,
    NotValidError,
    Spec,
    Submission,
    SubmitResult,
    lock_holder,
    lock_holders,
    submit,
    submit_many,
)
from .upkeep import cancel, prune, sweep

__all__ = [
    "BusyError",
    "NotValidError",
    "Spec",
    "Submission",
    "SubmitResult",
    "advance",
    "allowed_decisions",
    "back_off",
    "cancel",
    "lock_holder",
    "lock_holders",
    "prune",
    "submit",
    "submit_many",
    "sweep",
]
