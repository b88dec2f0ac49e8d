"""The engine: it records, runs, undoes, ends and recovers jobs.

Read the modules in this order: `submission` (submit), `claims` (the ownership of a job by a worker), `execution` (run),
`children` (trees of jobs), `completion` (undo, end, stuck), `recovery` (cancel, sweep, decisions of staff).

The database holds the complete state of a job, and a Celery message only contains its id. A worker that receives a message

1. claims the job in one statement (owner, lease, attempt),
2. runs one step with no transaction open,
3. records its result in one transaction, which names the owner and so refuses a worker that has lost its lease,

and continues with the next step, or releases the job when the step waits.
If the worker dies at any point, the row shows how far the job has come, and `sweep` dispatches it again.

Caveats:

1. A step may run twice (a crash between 2 and 3). Steps look for their own effect first; see `Command.retrying`.
2. An effect may outlive its job's failure. Each step's undo removes it before the job is `failed`.
3. Locks are rows. They are acquired in key order in the caller's transaction and freed by the job's last write.
4. Leases and due times use the database's clock. Only deadlines, which are minutes away, use a worker's clock.

No library does this: Celery stores its retries and results in the broker and the result backend, so they cannot be written
in the transaction of the change that they belong to.
"""

from .claims import back_off
from .execution import advance
from .recovery import (
    OVERDUE,
    allowed_decisions,
    cancel,
    end_stuck,
    lock_for_decision,
    mark_handled,
    prune,
    resume,
    retry,
    sweep,
)
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

__all__ = [
    "OVERDUE",
    "BusyError",
    "NotValidError",
    "Spec",
    "Submission",
    "SubmitResult",
    "advance",
    "allowed_decisions",
    "back_off",
    "cancel",
    "end_stuck",
    "lock_for_decision",
    "lock_holder",
    "lock_holders",
    "mark_handled",
    "prune",
    "resume",
    "retry",
    "submit",
    "submit_many",
    "sweep",
]
