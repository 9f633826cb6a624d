"""A worker process: the heavy half of one program. Takes jobs from the image, leaves results.

A job is taken off the ring before it is done, so that it is done at most once; jobs of a scan or
of a worker that no longer exists are dropped.
"""

from __future__ import annotations

import sys

from cellwright.io.registry import registry
from cellwright.runtime.cell.membership import join
from cellwright.runtime.programs.worker_loop import WorkerLoop
from cellwright.runtime.realtime.grants import leave_core
from cellwright.tasks.api import Worker, WorkerContext


def main(arguments: list[str] | None = None) -> int:
    """Serve one task's jobs until the supervisor asks to stop or is gone."""
    member, options = join(
        arguments, lambda parsed: f"worker:{parsed.task}", "--task", "--incarnation"
    )
    task = next(task for task in member.plan.tasks if task.name == options.task)
    assert task.worker is not None
    sys.path.insert(0, member.plan.folder)
    kind = registry.load_class(task.worker)
    worker: Worker = kind(WorkerContext(task.name, task.options, member.plan))
    leave_core(member.plan.scan.core)
    WorkerLoop(member, worker, task.index, int(options.incarnation)).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
