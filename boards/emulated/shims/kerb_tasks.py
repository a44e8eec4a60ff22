"""The task queue of asyncio on the board's own clock, in the place of the built-in `_asyncio`, which reads the host's.

What asyncio needs: TaskQueue with peek, push, pop and remove; Task with coro, data, state and ph_key, awaitable once.
"""

from time import ticks_add, ticks_diff, ticks_ms  # noqa: F401


class TaskQueue:
    """Tasks by the time at which they go on; those of one time in the order in which they came."""

    def __init__(self):
        self._tasks = []

    def peek(self):
        return self._tasks[0] if self._tasks else None

    def push(self, task, key=None):
        task.data = None
        task.ph_key = key = ticks_ms() if key is None else key
        tasks = self._tasks
        at = len(tasks)
        while at and ticks_diff(tasks[at - 1].ph_key, key) > 0:
            at -= 1
        tasks.insert(at, task)

    def pop(self):
        return self._tasks.pop(0)

    def remove(self, task):
        self._tasks.remove(task)


class Task:
    """state: True while it runs, a TaskQueue once others wait for it, None at its end, False when that was seen."""

    def __init__(self, coro, core=None):
        self.coro = coro
        self.data = None
        self.state = True
        self.ph_key = 0
        self._core = core  # the names of asyncio.core: cur_task, _task_queue, CancelledError

    def done(self):
        return not self.state

    def cancel(self):
        if not self.state:
            return False
        core = self._core
        if self is core["cur_task"]:
            raise RuntimeError("can't cancel self")
        task = self
        while isinstance(task.data, Task):  # it waits for another: that one is told
            task = task.data
        queue = core["_task_queue"]
        if hasattr(task.data, "remove"):  # it waits in the queue of an event or a lock
            task.data.remove(task)
            queue.push(task)
        elif ticks_diff(task.ph_key, ticks_ms()) > 0:  # it sleeps
            queue.remove(task)
            queue.push(task)
        task.data = core["CancelledError"]
        return True

    def __iter__(self):
        if not self.state:
            self.state = False
        elif self.state is True:
            self.state = TaskQueue()
        elif not isinstance(self.state, TaskQueue):
            raise RuntimeError("can't wait")
        return self

    def __next__(self):
        if not self.state:
            raise self.data
        waiting = self._core["cur_task"]
        self.state.push(waiting)
        waiting.data = self
