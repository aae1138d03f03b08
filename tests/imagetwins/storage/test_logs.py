"""A log on a disk is whole lines, whatever the disk did to a line, and it is there after a power cut."""

import errno
from pathlib import Path

import pytest

from imagetwins.storage.logs import open_local_log
from tests.support.syscalls import failing_at, intercepted


@pytest.mark.parametrize(
    "times", [pytest.param(1, id="the disk took half"), pytest.param(2, id="and did not give it back")]
)
def test_a_line_that_could_not_be_written_is_not_glued_to_the_next(times, tmp_path):
    path = tmp_path / "log"
    with open_local_log(path) as log:
        log.append(b"first line\n", flush=True)
        # The second call is the write itself; with two failures, so is the removal of the half that was written.
        with failing_at(2, errno.ENOSPC, times=times), pytest.raises(OSError, match="cannot be written"):
            log.append(b"line that does not fit\n", flush=True)
        left = path.read_bytes()
        log.append(b"last line\n", flush=True)
    assert left == b"first line\n" + b"line that d" * (times - 1)
    assert path.read_bytes() == b"first line\nlast line\n"


def test_the_name_of_a_new_log_is_on_the_disk_when_its_first_line_is(tmp_path):
    flushed = []

    def note(name, call, arguments):
        result = call(*arguments)
        if name == "fsync":
            path = Path(f"/proc/self/fd/{arguments[0]}").readlink()
            flushed.append((path, {file.name for file in path.iterdir()} if path.is_dir() else path.read_bytes()))
        return result

    with intercepted(note), open_local_log(tmp_path / "log") as log:
        log.append(b"first line\n", flush=True)
        assert (tmp_path / "log", b"first line\n") in flushed
        assert (tmp_path, {"log"}) in flushed
