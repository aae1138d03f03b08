"""Kill a process at, or fail, any one of the system calls by which files and the journal change."""

import contextlib
import errno
import gc
import itertools
import os
import signal

from imagetwins.storage import local_moves
from tests.support.figures import FIGURES

CHANGING = ("write", "fsync", "ftruncate", "link", "unlink", "rename", "replace", "mkdir", "rmdir", "utime", "fchmod")


@contextlib.contextmanager
def intercepted(intercept):
    """Call `intercept(name, call, arguments)` in place of each system call that changes something."""

    def wrap(name, call):
        return lambda *arguments, **options: intercept(name, lambda *a: call(*a, **options), arguments)

    originals = {name: getattr(os, name) for name in CHANGING}
    opened, renameat2 = os.open, local_moves._renameat2
    try:
        for name, call in originals.items():
            setattr(os, name, wrap(name, call))
        os.open = lambda path, flags, *rest, **options: (
            intercept("create", lambda *a: opened(*a, **options), (path, flags, *rest))
            if flags & os.O_CREAT
            else opened(path, flags, *rest, **options)
        )
        if renameat2:
            local_moves._renameat2 = wrap("renameat2", renameat2)
        yield
    finally:
        for name, call in originals.items():
            setattr(os, name, call)
        os.open, local_moves._renameat2 = opened, renameat2


def killed_at(moment, work):
    """Run `work` in a process that is killed at its `moment`-th call, half way if it writes; False if it had ended."""
    child = os.fork()
    if child == 0:
        # The collector would write to, and so copy, every page of a large parent.
        gc.disable()
        _work_until(moment, work)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        FIGURES["kills survived"] += 1
        return True
    assert os.WEXITSTATUS(status) == 0, "the work failed; it was not killed"
    return False


def _work_until(moment, work):
    calls = itertools.count(1)

    def kill(name, call, arguments):
        if next(calls) == moment:
            if name == "write":
                call(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments)

    code = 1
    try:
        with intercepted(kill):
            work()
        code = 0
    finally:
        os._exit(code)


@contextlib.contextmanager
def failing_at(moment, code, *, times=1):
    """Let `times` calls from the `moment`-th on fail with the error `code`; yields the names of those that did."""
    calls, failed = itertools.count(1), []

    def fail(name, call, arguments):
        if moment <= next(calls) < moment + times and name != "fchmod":
            failed.append(name)
            FIGURES["faults injected"] += 1
            if name == "renameat2":
                local_moves.ctypes.set_errno(code)
                return -1
            if name == "write":
                call(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
            raise OSError(code, os.strerror(code))
        return call(*arguments)

    with intercepted(fail):
        yield failed


@contextlib.contextmanager
def no_rename(*, rename=errno.EINVAL, link=errno.EPERM):
    """Answer as file systems do that have no rename that refuses to replace (error `rename`), and no hard links (error `link`)."""

    def refuse(code, source, target):
        if os.lstat(source).st_dev != os.stat(os.path.dirname(target)).st_dev:  # noqa: PTH116, PTH120 - bytes
            return errno.EXDEV
        return errno.EEXIST if os.path.lexists(target) else code

    def answer(name, call, arguments):
        if name == "renameat2":
            local_moves.ctypes.set_errno(refuse(rename, arguments[1], arguments[3]))
            return -1
        if name == "link":
            code = refuse(link, *arguments[:2])
            raise OSError(code, os.strerror(code), *arguments[:1])
        return call(*arguments)

    try:
        with intercepted(answer):
            yield
    finally:
        local_moves._copied_in_place.clear()
