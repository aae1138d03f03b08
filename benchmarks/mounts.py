"""File systems of many kinds, mounted for a while: what `benchmarks/filesystems.py` tries imagetwins on.

Everything is made in a folder of the caller's, and mounted in the mount namespace that the caller is in. What is written to a mounted
file system is there again when it is mounted once more, but on a tmpfs.
"""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

DAVFS_SETTINGS = Path("/etc/davfs2/davfs2.conf")
SFTP_SERVER = Path("/usr/lib/openssh/sftp-server")
SECONDS_TO_MOUNT = 15.0
SECONDS_TO_UPLOAD = 9.0
"""rclone uploads what was written 5 s after it was closed."""


class MountError(Exception):
    """A file system could not be mounted; says what the tool said."""


Mount = Callable[[Path], "contextmanager[Path]"]


@dataclass(frozen=True)
class FileSystem:
    """A kind of file system.

    Attributes:
        name: what the table calls it.
        how: how it is tried here.
        mount: mounts it below a folder, the same each time, and yields where pictures are put.
        programs: what must be installed, by the Debian packages that have it.
        kernel: what /proc/filesystems must name.
        below: where the pictures are put before it is mounted, relative to the folder; None: on the mounted file system.
        is_kept: whether its files are there again when it is mounted once more.
        in_folder: whether the pictures lie in a folder of it, and not in its root.
        takes_moves: whether files can be moved on it at all.
        is_full: whether nothing is free on it.
        seconds_to_settle: how long after a change files may show other times.
    """

    name: str
    how: str
    mount: Callable[[Path], Iterator[Path]]
    programs: dict[str, str]
    kernel: Sequence[str] = ()
    below: str | None = None
    is_kept: bool = True
    in_folder: bool = True
    takes_moves: bool = True
    is_full: bool = False
    seconds_to_settle: float = 0.0

    def find_missing(self) -> str | None:
        """Return what this machine lacks for it; None if nothing."""
        for program, package in self.programs.items():
            if not (shutil.which(program) or Path(program).exists()):
                return f"{program} is not installed (Debian's package {package})"
        known = Path("/proc/filesystems").read_text(encoding="ascii").split()
        for name in self.kernel:
            if name not in known:
                return f"the kernel has no {name}"
        return None


def call(*command: str | Path) -> None:
    """Run `command` to its end.

    Raises:
        MountError: it ended with an error.
    """
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or [""]
        raise MountError(f"{command[0]} ended with {done.returncode}: {said[-1]}")


@contextmanager
def mounted(point: Path, *command: str | Path) -> Iterator[Path]:
    """Yield `point` while what `command` mounts there is mounted."""
    point.mkdir(parents=True, exist_ok=True)
    call(*command)
    deadline = time.monotonic() + SECONDS_TO_MOUNT
    while not is_mounted(point):
        if time.monotonic() > deadline:
            raise MountError(f"{command[0]} mounted nothing")
        time.sleep(0.05)
    try:
        yield point
    finally:
        unmount(point)


@contextmanager
def mounted_over(there: Path, file: Path) -> Iterator[None]:
    """Let `file` be seen in place of the file `there`."""
    call("mount", "--bind", file, there)
    try:
        yield
    finally:
        unmount(there)


def end(server: subprocess.Popen[bytes]) -> None:
    """End a server, at once if it does not end by itself."""
    server.terminate()
    try:
        server.wait(5)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def is_mounted(point: Path) -> bool:
    """Whether something is mounted on `point`; also where it is a folder of the same disk."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    return str(point) in (line.split()[4] for line in lines)


def unmount(point: Path) -> None:
    """Unmount `point`: at once where nothing is open there, else as soon as all is closed."""
    for _ in range(40):
        if not subprocess.run(["umount", point], capture_output=True, check=False).returncode:
            # The process of a FUSE file system ends a little later; what it has not written yet it writes then.
            time.sleep(0.3)
            return
        time.sleep(0.1)
    subprocess.run(["umount", "-l", point], capture_output=True, check=False)


def _image(place: Path, name: str, size: str, *make: str) -> Path:
    """Return a file of `size`, made a file system by the command `make` when it is new."""
    image = place / name
    if not image.exists():
        call("truncate", "-s", size, image)
        call(*make, image)
    return image


def _on_loop(make: Sequence[str], size: str = "64M", options: str = "loop") -> Callable[[Path], Iterator[Path]]:
    def mount(place: Path) -> Iterator[Path]:
        image = _image(place, "image", size, *make)
        with mounted(place / "mount", "mount", "-o", options, image, place / "mount") as point:
            yield point

    return mount


def _by_fuse(make: Sequence[str], *command: str, size: str = "64M") -> Callable[[Path], Iterator[Path]]:
    def mount(place: Path) -> Iterator[Path]:
        image = _image(place, "image", size, *make)
        with mounted(place / "mount", *command, image, place / "mount") as point:
            yield point

    return mount


def _exfat(place: Path) -> Iterator[Path]:
    image = _image(place, "image", "64M", "mkfs.exfat")
    device = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True, check=True).stdout
    try:
        with mounted(place / "mount", "mount.exfat-fuse", device.strip(), place / "mount") as point:
            yield point
    finally:
        call("losetup", "--detach", device.strip())


def _over_folder(*command: str) -> Callable[[Path], Iterator[Path]]:
    """Mount a file system that shows another folder, `back`, in another way; {back} and {point} in `command` stand for both."""

    def mount(place: Path) -> Iterator[Path]:
        (place / "back").mkdir(exist_ok=True)
        point = place / "mount"
        filled = [part.format(back=place / "back", point=point, place=place) for part in command]
        with mounted(point, *filled) as there:
            yield there

    return mount


def _tmpfs(place: Path) -> Iterator[Path]:
    with mounted(place / "mount", "mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", place / "mount") as point:
        yield point


def _overlay(*command: str) -> Callable[[Path], Iterator[Path]]:
    def mount(place: Path) -> Iterator[Path]:
        lower, upper, work = place / "lower", place / "upper", place / "work"
        for folder in (lower, upper, work):
            folder.mkdir(exist_ok=True)
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        with mounted(place / "mount", *command, "-o", options, *_last(command), place / "mount") as point:
            yield point

    return mount


def _last(command: Sequence[str]) -> list[str]:
    """Return the device of a mount that has none."""
    return ["overlay"] if command[0] == "mount" else []


def _unionfs(place: Path) -> Iterator[Path]:
    for folder in ("lower", "upper"):
        (place / folder).mkdir(exist_ok=True)
    branches = f"{place}/upper=RW:{place}/lower=RO"
    with mounted(place / "mount", "unionfs", "-o", "cow", branches, place / "mount") as point:
        yield point


def _mergerfs(branch: Callable[[Path], Iterator[Path]]) -> Callable[[Path], Iterator[Path]]:
    """Mount two file systems as one, as mergerfs pools disks; folders and pictures lie on both."""

    def mount(place: Path) -> Iterator[Path]:
        with ExitStack() as stack:
            branches = []
            for name in ("one", "two"):
                (place / name).mkdir(exist_ok=True)
                branches.append(stack.enter_context(contextmanager(branch)(place / name)))
            options = "category.create=rand,minfreespace=0"
            pool = ":".join(map(str, branches))
            yield stack.enter_context(mounted(place / "mount", "mergerfs", "-o", options, pool, place / "mount"))

    return mount


def _bindfs_over_two(place: Path) -> Iterator[Path]:
    """Show a folder that holds two file systems, whose inode numbers are the same, as one."""
    with ExitStack() as stack:
        for name in ("kopien", "weitere"):
            (place / name).mkdir(exist_ok=True)
            image = _image(place / name, "image", "32M", "mkfs.ext4", "-q")
            point = place / "back" / name
            stack.enter_context(mounted(point, "mount", "-o", "loop", image, point))
        yield stack.enter_context(mounted(place / "mount", "bindfs", place / "back", place / "mount"))


def _sshfs(*options: str) -> Callable[[Path], Iterator[Path]]:
    """Mount by SFTP: the server is the one of OpenSSH, its connection a pipe."""

    def mount(place: Path) -> Iterator[Path]:
        (place / "back").mkdir(exist_ok=True)
        connect = place / "connect"
        connect.write_text(f"#!/bin/sh\nexec {SFTP_SERVER}\n", encoding="ascii")
        connect.chmod(0o755)
        given = ["-o", f"ssh_command={connect}", *options, f"there:{place}/back", str(place / "mount")]
        with mounted(place / "mount", "sshfs", *given) as point:
            yield point

    return mount


def _gocryptfs(place: Path) -> Iterator[Path]:
    back, password = place / "back", place / "password"
    if not back.exists():
        back.mkdir()
        password.write_text("secret\n", encoding="ascii")
        call("gocryptfs", "-q", "-init", "-scryptn", "10", "-passfile", password, back)
    with mounted(place / "mount", "gocryptfs", "-q", "-passfile", password, back, place / "mount") as point:
        yield point


def _davfs(place: Path) -> Iterator[Path]:
    """Mount by WebDAV what rclone serves on a port of 127.0.0.1."""
    for folder in ("back", "cache"):
        (place / folder).mkdir(exist_ok=True)
    settings = place / "davfs2.conf"
    settings.write_text(
        f"dav_user root\ndav_group root\nask_auth 0\nuse_locks 0\ndelay_upload 0\ncache_dir {place}/cache\n",
        encoding="ascii",
    )
    command = ["rclone", "serve", "webdav", "--config", "/dev/null", "--addr", "127.0.0.1:4325", place / "back"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(1.5)
        # Whom its process runs as, and where it keeps files, only the machine's settings may say: ours lie over them.
        with mounted_over(DAVFS_SETTINGS, settings):
            given = ["-t", "davfs", "http://127.0.0.1:4325", place / "mount"]
            with mounted(place / "mount", "mount", *given) as point:
                yield point
    finally:
        end(server)


def _samba(place: Path) -> Iterator[Path]:
    """Mount by rclone what Samba shares on a port of 127.0.0.1."""
    for folder in ("back", "var"):
        (place / folder).mkdir(exist_ok=True)
    settings = place / "smb.conf"
    settings.write_text(SMB_SETTINGS.format(place=place), encoding="ascii")
    # In a session of its own: when it ends, it ends all of its group.
    command = ["smbd", "-s", settings, "--foreground", "--no-process-group"]
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        time.sleep(2)
        mount = [part.format(place=place) for part in (*RCLONE, "--vfs-cache-mode", "writes")]
        share = ":smb,host=127.0.0.1,port=4326,user=guest:share"
        with mounted(place / "mount", *mount, share, place / "mount") as point:
            yield point
    finally:
        end(server)


def _read_only(place: Path) -> Iterator[Path]:
    (place / "back").mkdir(exist_ok=True)
    point = place / "mount"
    with mounted(point, "mount", "--bind", place / "back", point):
        call("mount", "-o", "remount,bind,ro", point)
        yield point


def _full(place: Path) -> Iterator[Path]:
    """Mount a tmpfs on which nothing is free once `fill` has been called: it is, as soon as pictures are there."""
    with mounted(place / "mount", "mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", place / "mount") as point:
        yield point


def fill(folder: Path) -> None:
    """Take all room of the disk of `folder`."""
    with suppress(OSError), (folder / "everything.bin").open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)


SMB_SETTINGS = """[global]
bind interfaces only = yes
interfaces = lo
smb ports = 4326
disable netbios = yes
load printers = no
map to guest = Bad User
guest account = root
log file = {place}/var/log
pid directory = {place}/var
lock directory = {place}/var
state directory = {place}/var
cache directory = {place}/var
private dir = {place}/var
ncalrpc dir = {place}/var
[share]
path = {place}/back
guest ok = yes
read only = no
"""
EXT4 = _on_loop(["mkfs.ext4", "-q"])
RCLONE = ("rclone", "mount", "--daemon", "--config", "/dev/null", "--cache-dir", "{place}/cache")

FILE_SYSTEMS = (
    FileSystem("ext4", "loop device", EXT4, {"mkfs.ext4": "e2fsprogs"}, ["ext4"]),
    FileSystem("XFS", "loop device", _on_loop(["mkfs.xfs", "-q"], "320M"), {"mkfs.xfs": "xfsprogs"}, ["xfs"]),
    FileSystem(
        "Btrfs", "loop device", _on_loop(["mkfs.btrfs", "-q"], "160M"), {"mkfs.btrfs": "btrfs-progs"}, ["btrfs"]
    ),
    FileSystem("tmpfs", "in memory", _tmpfs, {}, ["tmpfs"], is_kept=False),
    FileSystem(
        "overlayfs", "pictures in the lower layer", _overlay("mount", "-t", "overlay"), {}, ["overlay"], below="lower"
    ),
    FileSystem(
        "fuse-overlayfs",
        "pictures in the lower layer",
        _overlay("fuse-overlayfs"),
        {"fuse-overlayfs": "fuse-overlayfs"},
        ["fuse"],
        below="lower",
    ),
    FileSystem(
        "unionfs-fuse",
        "pictures in the read-only branch",
        _unionfs,
        {"unionfs": "unionfs-fuse"},
        ["fuse"],
        below="lower",
    ),
    FileSystem("mergerfs", "two ext4 disks", _mergerfs(EXT4), {"mergerfs": "mergerfs"}, ["fuse"]),
    FileSystem("bindfs", "over two ext4 disks", _bindfs_over_two, {"bindfs": "bindfs"}, ["fuse"], in_folder=False),
    FileSystem(
        "exFAT",
        "exfat-fuse",
        _exfat,
        {"mkfs.exfat": "exfatprogs", "mount.exfat-fuse": "exfat-fuse"},
        ["fuse"],
    ),
    FileSystem(
        "NTFS", "ntfs-3g", _by_fuse(["mkfs.ntfs", "-F", "-q"], "ntfs-3g"), {"ntfs-3g": "ntfs-3g"}, ["fuseblk", "fuse"]
    ),
    FileSystem(
        "FAT",
        "fusefat",
        _by_fuse(["mkfs.vfat"], "fusefat", "-o", "rw+"),
        {"mkfs.vfat": "dosfstools", "fusefat": "fusefat"},
        ["fuse"],
    ),
    FileSystem("SFTP", "sshfs", _sshfs(), {"sshfs": "sshfs", str(SFTP_SERVER): "openssh-sftp-server"}, ["fuse"]),
    FileSystem(
        "SFTP, no links",
        "sshfs -o disable_hardlink",
        _sshfs("-o", "disable_hardlink"),
        {"sshfs": "sshfs", str(SFTP_SERVER): "openssh-sftp-server"},
        ["fuse"],
    ),
    FileSystem(
        "rclone",
        "--vfs-cache-mode writes",
        _over_folder(*RCLONE, "--vfs-cache-mode", "writes", "{back}", "{point}"),
        {"rclone": "rclone", "fusermount3": "fuse3"},
        ["fuse"],
        seconds_to_settle=SECONDS_TO_UPLOAD,
    ),
    FileSystem(
        "rclone, no cache",
        "its default",
        _over_folder(*RCLONE, "{back}", "{point}"),
        {"rclone": "rclone", "fusermount3": "fuse3"},
        ["fuse"],
        seconds_to_settle=SECONDS_TO_UPLOAD,
    ),
    FileSystem("WebDAV", "davfs2", _davfs, {"mount.davfs": "davfs2", "rclone": "rclone"}, ["fuse"]),
    FileSystem(
        "SMB",
        "Samba, mounted by rclone",
        _samba,
        {"smbd": "samba", "rclone": "rclone"},
        ["fuse"],
        seconds_to_settle=SECONDS_TO_UPLOAD,
    ),
    FileSystem("gocryptfs", "on ext4", _gocryptfs, {"gocryptfs": "gocryptfs"}, ["fuse"]),
    FileSystem("read-only", "bind mount", _read_only, {}, below="back", takes_moves=False),
    FileSystem("full", "tmpfs without room", _full, {}, ["tmpfs"], is_kept=False, is_full=True),
)
