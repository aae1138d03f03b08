"""What holds on which file system: the command line at work on many of them, mounted for the purpose.

    sudo python -m benchmarks.filesystems [--only NAME ...] [--out benchmarks/results]

On each file system lies a small folder: pictures and their copies, one of them with a sidecar, one beside a file that has taken its
name in `Duplicates`, names with capitals and umlauts, a hard link and a symbolic link where there are such. On it

- `imagetwins doctor` is asked;
- a run is killed (SIGKILL) between two moves, the file system is mounted anew, and a second run goes on: exactly the copies must have
  moved, their content, times and permissions as they were;
- a third run must open no file: none has changed;
- all is put back, byte by byte;
- a run is refused while another process holds the folder;
- the store is put there; duplicates of an ext4 disk go there (`--into`), and duplicates go from there to an ext4 disk.

It needs root, for mounts; those are in a mount namespace of its own, which nothing else sees. What the machine has not is skipped, and
said to be. Takes about a minute for each file system.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from benchmarks.mounts import FILE_SYSTEMS, FileSystem, MountError, fill
from benchmarks.ssim_join import describe_machine
from benchmarks.waiting import started_server
from imagetwins.runtime.server import QUIET, bypass_proxy_on_loopback
from imagetwins.storage import DUPLICATES, MARKER, local_moves, storage_of

PAIRS = 16
LINK = "kopien/zweiter.jpg"
SECONDS_TO_SETTLE = 2.5
"""Files that changed later than this before a run are hashed again by the next one."""

LIMIT_SECONDS = 180
IS_INSIDE = "IMAGETWINS_BENCHMARK_NAMESPACE"
IMAGETWINS = Path(sys.executable).with_name("imagetwins")

CHECKS = ("doctor", "moved", "by", "killed", "unchanged", "restored", "lock", "store", "into it", "out of it")


class Version(NamedTuple):
    """Content, time of modification in seconds and permissions of a file."""

    content: str
    seconds: int
    permissions: int


# -- the folder --------------------------------------------------------------------------------------------------------


@dataclass
class Pictures:
    """The folder that is tried: which of its files are to move, and what its file system did not take."""

    folder: Path
    copies: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)

    def try_to(self, what: str, make: Callable[[], object]) -> bool:
        """Do what the file system may not know; whether it does."""
        try:
            make()
        except (OSError, UnicodeError) as error:
            self.refused.append(f"no {what} ({getattr(error, 'strerror', None) or error})")
            return False
        return True


def build_pictures(folder: Path) -> Pictures:
    """Put the pictures into `folder`."""
    rng = np.random.default_rng(16)
    built = Pictures(folder)
    # To some file systems the names with and without capitals are one.
    names = [*(f"Bild{number:02}" for number in range(PAIRS - 4)), "gleich", "Grüße aus Köln", "GLEICH", "IMG_1"]
    for number, name in enumerate(names):
        picture = cv2.resize(rng.integers(0, 256, (7, 9, 3), np.uint8), (320, 240), interpolation=cv2.INTER_CUBIC)
        suffix = ".JPG" if number % 2 else ".jpg"
        # The last copies lie in a folder of their own: where folders' inode numbers repeat, it must be entered all the same.
        copy = f"{'weitere' if number % 2 else 'kopien'}/{name}{suffix}"
        small = cv2.resize(picture, (240, 180), interpolation=cv2.INTER_AREA)
        if built.try_to(f"name {name!r}", partial(_write, folder / f"{name}.png", picture, ".png", number)):
            _write(folder / copy, small, ".jpg", number)
            built.copies.add(copy)
    for sidecar in ("Bild00.png.xmp", "kopien/Bild00.jpg.xmp"):
        (folder / sidecar).write_text("<x:xmpmeta/>", encoding="ascii")
    built.copies.add("kopien/Bild00.jpg.xmp")
    taken = folder / DUPLICATES / "kopien/Bild02.jpg"
    taken.parent.mkdir(parents=True)
    taken.write_text("something else", encoding="ascii")
    built.try_to("hard links", lambda: os.link(folder / "kopien/Bild00.jpg", folder / "kopien/zweiter.jpg"))
    built.try_to("symbolic links", lambda: (folder / "zeiger.png").symlink_to("Bild01.png"))
    built.try_to("permissions", lambda: (folder / "kopien/Bild04.jpg").chmod(0o640))
    return built


def _write(file: Path, picture: np.ndarray, suffix: str, number: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("xb") as opened:
        opened.write(cv2.imencode(suffix, picture)[1].tobytes())
    # Odd seconds and a fraction: some file systems know only even ones.
    time_ns = (1_600_000_001 + 1000 * number) * 10**9 + 123_456_789
    os.utime(file, ns=(time_ns, time_ns))


def read_versions(folder: Path) -> dict[str, Version]:
    """Return the files below `folder` by their names, but for markers, and what a union notes of removed files."""
    found = {}
    for path in sorted(folder.rglob("*")):
        is_own = path.name == MARKER or ".unionfs-fuse" in path.parts
        if path.is_file() and not path.is_symlink() and not is_own:
            status = path.stat()
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            version = Version(content, status.st_mtime_ns // 10**9, status.st_mode & 0o777)
            found[path.relative_to(folder).as_posix()] = version
    return found


def find_wrong_moves(pictures: Pictures, before: dict[str, Version], aside: Path) -> list[str]:
    """Return what is wrong with a folder from which the copies, which `before` names with all others, moved to `aside`."""
    after, there = read_versions(pictures.folder), read_versions(aside)
    wrong = []
    for name, version in before.items():
        came = [there[place] for place in (_second(name), name) if place in there]
        if name in pictures.copies:
            if name in after:
                wrong.append(f"{name} stayed")
            elif not came:
                wrong.append(f"{name} is gone")
            else:
                wrong += describe_change(name, version, came[0])
        elif name not in after and not (name == LINK and came):
            wrong.append(f"{name} is gone")
        elif name in after:
            wrong += describe_change(name, version, after[name])
    return wrong


def find_differences(before: dict[str, Version], after: dict[str, Version]) -> list[str]:
    """Return how a folder differs from what it was."""
    wrong = [f"{name} is new" for name in after.keys() - before.keys()]
    wrong += [f"{name} is gone" for name in before.keys() - after.keys()]
    for name in before.keys() & after.keys():
        wrong += describe_change(name, before[name], after[name])
    return wrong


def describe_change(name: str, before: Version, after: Version) -> list[str]:
    """Return what of a file changed."""
    if before.content != after.content:
        return [f"{name}: other content"]
    if before.seconds != after.seconds:
        return [f"times differ by {after.seconds - before.seconds} s"]
    return ["permissions are lost"] if before.permissions != after.permissions else []


def summarize(wrong: Sequence[str]) -> str:
    """Return "yes" if nothing is wrong, else the first things that are."""
    kinds = list(dict.fromkeys(wrong))
    rest = f"; and {len(kinds) - 3} more" if len(kinds) > 3 else ""
    if set(kinds) == {"permissions are lost"}:
        return "yes, without permissions"
    return "; ".join(kinds[:3]) + rest or "yes"


def _second(name: str) -> str:
    path = Path(name)
    return path.with_name(f"{path.stem} (2){path.suffix}").as_posix()


# -- commands ----------------------------------------------------------------------------------------------------------


@dataclass
class Said:
    """How a command ended: its exit code, what it answered in JSON, and what it says went wrong, or the last line that it printed."""

    code: int
    answer: dict[str, Any]
    last: str


@dataclass
class Commands:
    """The command line, with Prefect's server and the stores of this run."""

    environment: dict[str, str]

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        command = [str(IMAGETWINS), *map(str, arguments)]
        return subprocess.Popen(
            command,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def run(self, *arguments: str | Path) -> Said:
        process = self.start(*arguments, "--json")
        try:
            printed, errors = process.communicate(timeout=LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            printed, errors = process.communicate()
            errors += f"\nended after {LIMIT_SECONDS} s"
        answer: dict[str, Any] = {}
        with suppress(ValueError, IndexError):
            answer = json.loads(printed.strip().splitlines()[-1])
        lines = [line for line in errors.strip().splitlines() if line.strip()] or [printed.strip()]
        refused = answer.get("not_restored", {}).values()
        return Said(process.returncode, answer, answer.get("error") or [*refused, lines[-1].strip()][0])

    def run_killed(self, folder: Path, store: Path) -> str:
        """Start a run and kill it when it has moved some files; return how far it came."""
        process = self.start("run", folder, "--store", store)
        done = 0
        while process.poll() is None and done < PAIRS // 4:
            done = count_done(store)
            time.sleep(0.001)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        errors = process.communicate()[1].strip().splitlines()
        if process.returncode == -signal.SIGKILL:
            return f"after {count_done(store)} of {PAIRS + 1}"
        return f"it had ended with {process.returncode}" + (f": {errors[-1]}" if process.returncode and errors else "")

    def restore_all(self, store: Path) -> Said:
        """Put back all that the runs of a store moved, the last run first; return the last answer that was no success."""
        said = Said(0, {}, "")
        for run in sorted((store / "runs").iterdir(), reverse=True):
            if any(run.glob("journal*")):
                restored = self.run("restore", run.name, "--store", store)
                said = restored if restored.code else said
        return said


def count_done(store: Path) -> int:
    """Return how many moves the journals of a store say are done."""
    return sum(journal.read_bytes().count(b'"done"') for journal in store.glob("runs/*/journal*") if journal.is_file())


def find_counts(store: Path) -> dict[str, int]:
    """Return the counts of the last run of a store."""
    runs = sorted(store.glob("runs/*/run.json"))
    counts: dict[str, int] = json.loads(runs[-1].read_text(encoding="utf-8"))["counts"] if runs else {}
    return counts


def find_way(store: Path, folder: Path) -> str:
    """Return how the journals of a store, and the system, say that files of `folder` are moved."""
    events = b"".join(journal.read_bytes() for journal in store.glob("runs/*/journal*") if journal.is_file())
    if b'"part"' in events:
        return "verified copy"
    return "rename" if knows_flags(folder) else "link and unlink"


def knows_flags(folder: Path) -> bool:
    """Whether files of `folder` can be renamed by a call that refuses to replace."""
    with tempfile.TemporaryDirectory(prefix=".imagetwins-", dir=folder) as temporary:
        source, target = Path(temporary, "a"), Path(temporary, "b")
        source.touch()
        rename = local_moves._renameat2  # noqa: SLF001 - that it is not there, or refuses, is what is asked
        return rename is not None and not rename(-100, os.fsencode(source), -100, os.fsencode(target), 1)


# -- the checks --------------------------------------------------------------------------------------------------------


class Trial:
    """One file system, tried in a folder of its own."""

    def __init__(self, system: FileSystem, place: Path, commands: Commands) -> None:
        self._system, self._place, self._commands = system, place, commands
        self.found: dict[str, str] = {}
        self.notes: list[str] = []
        self._mount = ExitStack()

    def run(self) -> None:
        """Make all checks."""
        place = self._place / "fs"
        place.mkdir(parents=True)
        if self._system.below:
            pictures = build_pictures(place / self._system.below)
        with self._mounted() as folder:
            if self._system.below:
                pictures.folder = folder
            else:
                pictures = build_pictures(folder / "pictures" if self._system.in_folder else folder)
            if self._system.is_full:
                fill(folder)
            self.notes += pictures.refused
            self._mount_anew()
            self._try(pictures)

    def _try(self, pictures: Pictures) -> None:
        before = self._read(pictures.folder)
        time.sleep(SECONDS_TO_SETTLE)
        self._check_doctor(pictures.folder)
        if self._system.takes_moves:
            self._check_moves(pictures, before)
            return
        said = self._commands.run("run", pictures.folder, "--store", self._place / "store")
        moved = f"{said.answer.get('moved')} of {said.answer.get('duplicates')}"
        self.found["moved"] = _join(moved, _describe_error(said))

    @contextmanager
    def _mounted(self) -> Iterator[Path]:
        """Have the file system mounted until the context ends, or until it is mounted anew."""
        with ExitStack() as self._mount:
            yield self._mount.enter_context(contextmanager(self._system.mount)(self._place / "fs"))

    def _mount_anew(self) -> None:
        """Mount the file system once more: nothing that its process or the kernel knew of it is known any more."""
        if self._system.is_kept:
            time.sleep(self._system.seconds_to_settle)
            self._mount.close()
            self._mount.enter_context(contextmanager(self._system.mount)(self._place / "fs"))

    def _read(self, folder: Path) -> dict[str, Version]:
        """Read the versions of the files of `folder`, as they are when all has been written."""
        time.sleep(self._system.seconds_to_settle)
        return read_versions(folder)

    def _find_wrong(self, pictures: Pictures, before: dict[str, Version], aside: Path) -> list[str]:
        time.sleep(self._system.seconds_to_settle)
        return find_wrong_moves(pictures, before, aside)

    def _check_doctor(self, folder: Path) -> None:
        said = self._commands.run("doctor", folder, "--store", self._place / "store")
        findings = said.answer.get("findings", [])
        told = {finding["subject"]: finding for finding in findings} if isinstance(findings, list) else {}
        self.found["doctor"] = "; ".join(
            f"{told[subject]['level']}: {told[subject]['what']}".replace(str(self._place / "fs"), "")
            for subject in ("file system", "moves")
            if subject in told
        )

    def _check_moves(self, pictures: Pictures, before: dict[str, Version]) -> None:
        store = self._place / "store"
        self.found["killed"] = self._commands.run_killed(pictures.folder, store)
        if LINK in before and not find_counts(store).get("errors"):
            self.notes.append("hard links are taken for copies")
        lost = {version.content for version in before.values()} - {
            version.content for version in self._read(pictures.folder).values()
        }
        if lost:
            self.found["killed"] += f"; {len(lost)} files are gone"
        self._mount_anew()
        said = self._commands.run("run", pictures.folder, "--store", store)
        aside = pictures.folder / DUPLICATES
        self.found["moved"] = _join(summarize(self._find_wrong(pictures, before, aside)), _describe_error(said))
        self.found["by"] = find_way(store, pictures.folder)
        self._check_unchanged(pictures.folder, store)
        said = self._commands.restore_all(store)
        differences = find_differences(before, self._read(pictures.folder))
        self.found["restored"] = _join(summarize(differences), _describe_error(said))
        self._check_lock(pictures.folder)
        self._check_places(pictures)

    def _check_unchanged(self, folder: Path, store: Path) -> None:
        self._mount_anew()
        time.sleep(SECONDS_TO_SETTLE)
        said = self._commands.run("run", folder, "--store", store)
        counts = find_counts(store)
        total = said.answer.get("images")
        self.found["unchanged"] = f"{counts.get('unchanged')} of {total} not opened, {counts.get('to_decode')} decoded"

    def _check_lock(self, folder: Path) -> None:
        with storage_of(folder).lock(folder, "benchmark"):
            said = self._commands.run("run", folder, "--store", self._place / "store")
        self.found["lock"] = "yes" if said.code and "in use" in said.last else f"no: exit {said.code}"

    def _check_places(self, pictures: Pictures) -> None:
        home = self._place / "ext4"
        built = build_pictures(home / "pictures")
        here = pictures.folder.parent if pictures.folder.name == "pictures" else pictures.folder
        self._check_store_and_into(built, here / "store", here / "aside")
        self._check_out(pictures, home / "aside", self._place / "store2")

    def _check_store_and_into(self, built: Pictures, store: Path, aside: Path) -> None:
        """Take pictures of an ext4 disk, with the store and the place for duplicates on the file system."""
        before = self._read(built.folder)
        said = self._commands.run("run", built.folder, "--store", store, "--into", aside)
        if said.code:
            self.found["store"] = _describe_error(said)
            return
        wrong = self._find_wrong(built, before, aside)
        again = self._commands.run("run", built.folder, "--store", store, "--into", aside)
        decoded = find_counts(store).get("to_decode")
        restored = self._commands.restore_all(store)
        wrong += find_differences(before, self._read(built.folder))
        self.found["into it"] = summarize(wrong)
        self.found["store"] = _join(_describe_error(again), _describe_error(restored)) or "yes"
        if decoded:
            self.found["store"] += f", but {decoded} decoded again"

    def _check_out(self, pictures: Pictures, aside: Path, store: Path) -> None:
        """Take the pictures of the file system, with the place for duplicates on an ext4 disk."""
        before = self._read(pictures.folder)
        said = self._commands.run("run", pictures.folder, "--into", aside, "--store", store)
        wrong = self._find_wrong(pictures, before, aside)
        restored = self._commands.restore_all(store)
        wrong += find_differences(before, self._read(pictures.folder))
        self.found["out of it"] = _join(summarize(wrong), _describe_error(said), _describe_error(restored))


def _describe_error(said: Said) -> str:
    return f"exit {said.code}: {said.last}" if said.code else ""


def _join(*told: str) -> str:
    return "; ".join(filter(None, told))


# -- the whole ---------------------------------------------------------------------------------------------------------


def try_all(systems: Sequence[FileSystem], place: Path) -> list[Trial | str]:
    """Try `systems` one after the other; return for each what was found, or why it was skipped."""
    bypass_proxy_on_loopback()
    own = {"PREFECT_HOME": str(place / "prefect"), "TMPDIR": str(place)}
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "IMAGETWINS"))}
    environment = clean | QUIET | own
    results: list[Trial | str] = []
    with started_server(environment) as api:
        commands = Commands(environment | {"PREFECT_API_URL": api})
        for system in systems:
            results.append(system.find_missing() or _try_one(system, place, commands))
            print(describe_row(system.name, _to_plain(system, results[-1])), flush=True)
    return results


def _try_one(system: FileSystem, place: Path, commands: Commands) -> Trial | str:
    own = place / "".join(letter for letter in system.name if letter.isalnum())
    trial = Trial(system, own, commands)
    try:
        trial.run()
    except MountError as error:
        return f"cannot be mounted here: {error}"
    except OSError as error:
        trial.notes.append(f"ended early: {error}")
    # Where the system keeps what is temporary is of no interest.
    trial.found = {check: found.replace(str(own), "...") for check, found in trial.found.items()}
    trial.notes = [note.replace(str(own), "...") for note in trial.notes]
    return trial


def describe_row(name: str, row: dict[str, Any]) -> str:
    """Return what was found of a file system, a line for each check."""
    if "skipped" in row:
        lines = [f"skipped: {row['skipped']}"]
    else:
        lines = [f"{check:10} {row['found'][check]}" for check in CHECKS if check in row["found"]] + row["notes"]
    return "\n  ".join([f"{name} ({row['how']})", *lines]) + "\n"


def save(systems: Sequence[FileSystem], results: Sequence[Trial | str], out: Path) -> None:
    """Write what was found; what is there of other file systems stays."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / "filesystems.json"
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"] if file.exists() else {}
    for system, result in zip(systems, results, strict=True):
        rows[system.name] = _to_plain(system, result)
    rows = {system.name: rows[system.name] for system in FILE_SYSTEMS if system.name in rows}
    machine = describe_machine()
    file.write_text(
        json.dumps({"machine": machine, "rows": rows}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    text = [f"{machine}\n", *(describe_row(name, row) for name, row in rows.items())]
    (out / "filesystems.txt").write_text("\n".join(text), encoding="utf-8")
    print(f"saved {file}, .txt")


def _to_plain(system: FileSystem, result: Trial | str) -> dict[str, Any]:
    if isinstance(result, str):
        return {"how": system.how, "skipped": result}
    return {"how": system.how, "found": result.found, "notes": result.notes}


def enter_namespace() -> None:
    """Start this command again in a mount namespace of its own, where none of its mounts is seen from outside."""
    os.environ[IS_INSIDE] = "1"
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m", "benchmarks.filesystems"]
    os.execvp(command[0], [*command, *sys.argv[1:]])  # noqa: S606 - no shell is needed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[system.name for system in FILE_SYSTEMS])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    given = parser.parse_args()
    if os.geteuid():
        sys.exit("Mounting file systems needs root: sudo python -m benchmarks.filesystems")
    if IS_INSIDE not in os.environ:
        enter_namespace()
    systems = [system for system in FILE_SYSTEMS if not given.only or system.name in given.only]
    with tempfile.TemporaryDirectory(prefix="imagetwins-filesystems-", ignore_cleanup_errors=True) as temporary:
        results = try_all(systems, Path(temporary))
    save(systems, results, given.out)


if __name__ == "__main__":
    main()
