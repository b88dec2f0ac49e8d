"""The engine: how a job is recorded, run, undone, ended and recovered.

Read its chapters in this order: `submission` (submit), `claims` (one worker has one job), `execution` (run), `children`
(trees of jobs), `completion` (finish: undo, end, stuck), `recovery` (cancel, sweep, decisions of staff).

The row is the truth, and a Celery message only says "look at this row". A worker that receives one

1. claims the job in one statement (owner, lease, attempt),
2. runs one step with no transaction open,
3. records its result in one transaction, which names the owner and so refuses a worker that came too late,

and goes on with the next step, or releases the job when the step waits.
Whatever dies in between, the row says how far the job has come, and `sweep` has it dispatched again.

Caveats:

1. A step may run twice (a crash between 2 and 3). Steps look for their own effect first; see `Command.retrying`.
2. An effect may outlive its job's failure. Each step's undo removes it before the job is `failed`.
3. Locks are rows. They are acquired in key order in the caller's transaction and freed by the job's last write.
4. Leases and due times are the database's clock; only deadlines, which are minutes, are read on a worker's.

No library does this: Celery's own retries and results live in its broker and result backend, and so cannot be written in
the transaction of the change that they are about.
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
