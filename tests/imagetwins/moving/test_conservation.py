"""Whatever happens in whatever order, no file is lost and none appears: a state machine drives the core and a person.

Runs on two folders, killed and resumed; restores, killed and repeated; dry runs; and between any two of them a person who adds,
edits, renames, copies and removes files, in the folders and where their duplicates are. The model is a table of what should be
there, by content. After every step nothing may be missing from it; once what was killed has been recovered, nothing
may be there too much, no unfinished copy is left, and every moved file is in a journal with where it came from.
"""

import hashlib
import itertools
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from imagetwins.config.layout import Layout
from imagetwins.moving.execute import apply_moves, recover_journal
from imagetwins.moving.journal import read_journal
from imagetwins.moving.plan import PlannedCompanion, PlannedMove
from imagetwins.moving.restore import restore_moves
from imagetwins.scanning.candidates import list_candidates
from imagetwins.storage import MARKER, Route, local_moves
from imagetwins.storage.reserved import PART_PREFIX
from tests.support.figures import FIGURES
from tests.support.syscalls import killed_at, no_rename

SHM = Path("/dev/shm")  # noqa: S108 - memory, where flushing costs nothing
NAMES = [
    "a.png",
    "b.png",
    "a (2).png",
    "a.xmp",
    "a (2).png.xmp",
    "sub/a.png",
    "sub/a.mov",
    "sub/c.png",
    "sub/deep/é\n[x].png",
    os.fsdecode(b"\xff.png"),
]
MAYBE_KILLED = st.none() | st.integers(1, 15) | st.integers(1, 45)
PICTURES = st.integers(0, 2)


class Conservation(RuleBasedStateMachine):
    """The rules for moves that rename; subclasses move by the other two ways."""

    def __init__(self):
        super().__init__()
        self.base = Path(tempfile.mkdtemp(dir=SHM if SHM.is_dir() else None))
        self.folders = [self.base / "folder", self.base / "other"]
        for folder in self.folders:
            folder.mkdir()
        self.layout = Layout(tuple(self.folders), self._into())
        self.runs = itertools.count()
        self.journals, self.moves = [], {}
        self.model, self.owned, self.recovered, self.forgiven = Counter(), set(), True, Counter()
        self.serial = itertools.count()
        FIGURES["sequences of steps"] += 1

    def _into(self):
        return None

    def teardown(self):
        for transfers in map(read_journal, self.journals):
            FIGURES["files moved"] += sum((one.state, one.direction) == ("done", "out") for one in transfers)
            FIGURES["files restored"] += sum((one.state, one.direction) == ("done", "back") for one in transfers)
        shutil.rmtree(self.base)

    @initialize(pictures=st.lists(PICTURES, min_size=3, max_size=len(NAMES)))
    def start(self, pictures):
        for number, (name, picture) in enumerate(zip(NAMES, pictures, strict=False)):
            self._write(self.folders[number % 3 == 2] / name, picture)

    # What a person does

    def _write(self, path, picture):
        path.parent.mkdir(parents=True, exist_ok=True)
        content = b"picture %d " % picture * 100
        path.write_bytes(content)
        # A clock that ticks: file systems' own is too coarse to tell two edits of one instant apart.
        os.utime(path, ns=(0, 10**18 + next(self.serial)))
        self.model[digest_of(path)] += 1
        self.owned.add(path)

    def _forget(self, path):
        self.model[digest_of(path)] -= 1
        self._forgive(path)
        self.owned.discard(path)

    def _forgive(self, path):
        if not self.recovered:
            # A copy of it, on the way to another device when the process was killed, may be kept as well.
            self.forgiven[digest_of(path)] += 1

    def _is_announced(self, path):
        """Whether `path` is the name of an unfinished copy: what a person puts there may be taken for it."""
        del path
        return False

    def _everything(self):
        files = {file for root in self.layout.places for file in root.rglob("*") if file.is_file()}
        return {file for file in files if file.name != MARKER}

    def _files(self):
        """Return all files but unfinished copies."""
        return sorted(file for file in self._everything() if not file.name.startswith(PART_PREFIX))

    @rule(data=st.data(), name=st.sampled_from(NAMES), picture=PICTURES)
    def add(self, data, name, picture):
        folder = data.draw(st.sampled_from(self.folders))
        if not os.path.lexists(folder / name) and not self._is_announced(folder / name):
            self._write(folder / name, picture)

    @rule(data=st.data(), picture=PICTURES)
    def edit(self, data, picture):
        if files := [file for file in self._files() if not self._is_announced(file)]:
            path = data.draw(st.sampled_from(files))
            self._forget(path)
            self._write(path, picture)

    @rule(data=st.data(), replaced=st.booleans())
    def remove(self, data, replaced):
        if files := self._files():
            path = data.draw(st.sampled_from(files))
            self._forget(path)
            path.unlink()
            if replaced:
                self._write(path, 5)

    @rule(data=st.data(), name=st.sampled_from(NAMES), kind=st.sampled_from(["rename", "copy"]))
    def rename_or_copy(self, data, name, kind):
        files = self._files()
        root = data.draw(st.sampled_from([*self.folders, *self.layout.asides]))
        if files and not os.path.lexists(root / name) and not self._is_announced(root / name):
            path = data.draw(st.sampled_from(files))
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            if kind == "copy":
                shutil.copy2(path, root / name)
                self.model[digest_of(path)] += 1
            else:
                self._forgive(path)
                shutil.move(path, root / name)
                self.owned.discard(path)
            self.owned.add(root / name)

    # What the program does

    def _plan(self):
        """Plan what a run would: of equal contents the first listed is kept."""
        first, moves = {}, []
        folder, *more = self.folders
        listed = list_candidates(
            folder, more_folders=more, recursive=True, exclude=[], reference=[], skip=self.layout.asides
        )
        for image, file in enumerate(listed):
            kept = first.setdefault(digest_of(file.location), file.location)
            if file.error is None and kept != file.location:
                home, target = self.layout.plan_target(file.location)
                route = Route.into(home, self.layout.into) if self.layout.into else None
                known = (file.size_bytes, file.mtime_ns, digest_of(file.location))
                names = [companion.location for companion in file.companions]
                following = tuple(PlannedCompanion(image, name, (file.location,)) for name in names)
                moves.append(PlannedMove(image, file.location, target, *known, kept, following, route))
        return moves

    def _do(self, work, moment):
        if moment is not None and killed_at(moment, work):
            self.recovered = False
            return None
        # A forked process that was not killed has done all the work: doing it again must change nothing.
        return work()

    def _recover(self):
        for journal in self.journals:
            recover_journal(journal)
        self.recovered = True

    @rule()
    def dry_run(self):
        before = {path: digest_of(path) for path in self._files()}
        self._plan()
        assert {path: digest_of(path) for path in self._files()} == before

    @rule(moment=MAYBE_KILLED)
    def run(self, moment):
        self._recover()
        journal = self.base / f"{next(self.runs)}.jsonl"
        self.journals.append(journal)
        moves = self.moves[journal] = self._plan()
        outcomes = self._do(lambda: apply_moves(moves, journal), moment)
        for move, outcome in zip(moves, outcomes or [], strict=False):
            assert outcome.moved, outcome.reason
            assert all(companion.moved for companion in outcome.companions)
            assert digest_of(outcome.new_path) == move.digest
            assert not move.source.exists()

    @precondition(lambda self: self.journals)
    @rule(moment=MAYBE_KILLED)
    def resume(self, moment):
        journal = self.journals[-1]
        self._do(lambda: apply_moves(self.moves[journal], journal), moment)

    @precondition(lambda self: self.journals)
    @rule(data=st.data(), moment=MAYBE_KILLED)
    def restore(self, data, moment):
        self._recover()
        journal = data.draw(st.sampled_from([one for one in self.journals if read_journal(one)] or self.journals))
        # All of it, or some pictures with what belongs to them.
        moved = sorted({transfer.image for transfer in read_journal(journal)})
        images = data.draw(st.none() | st.sets(st.sampled_from(moved), min_size=1)) if moved else None
        outcomes = self._do(lambda: restore_moves(journal, images=images), moment)
        assert images is None or {outcome.image for outcome in outcomes or []} <= images
        for outcome in outcomes or []:
            assert outcome.restored == outcome.path.exists() or "name" in str(outcome.reason) or outcome.reason

    @rule(moment=MAYBE_KILLED, again=MAYBE_KILLED)
    def run_and_undo(self, moment, again):
        self._recover()
        before = {path: digest_of(path) for path in self._files()}
        self.run(moment)
        journal = self.journals[-1]
        self._do(lambda: restore_moves(journal), again)
        restore_moves(journal)
        self._recover()
        assert {path: digest_of(path) for path in self._files()} == before

    @rule()
    def recover(self):
        self._recover()

    # What must hold

    @invariant()
    def nothing_is_lost(self):
        assert self.model <= Counter(digest_of(path) for path in self._files())

    @invariant()
    def nothing_is_there_too_much(self):
        if self.recovered:
            assert Counter(map(digest_of, self._everything())) <= self.model + self.forgiven

    @invariant()
    def every_moved_file_is_in_a_journal(self):
        if self.recovered:
            told = {one.target for journal in self.journals for one in read_journal(journal) if one.state == "done"}
            aside = {path for path in self._files() if any(map(path.is_relative_to, self.layout.asides))}
            assert aside <= told | self.owned

    @invariant()
    def nothing_that_was_moved_is_scanned_from_above(self):
        moved = {one.target for journal in self.journals for one in read_journal(journal) if one.direction == "out"}
        above = list_candidates(
            self.base, more_folders=[self._above()], recursive=True, exclude=[], reference=[], skip=[]
        )
        assert not {file.location for file in above} & moved - self.owned

    def _above(self):
        """Return a folder that all duplicates are below, too."""
        return self.base


class ByLink(Conservation):
    """Where the file system has no rename that replaces nothing."""

    def __init__(self):
        super().__init__()
        self.renameat2, local_moves._renameat2 = local_moves._renameat2, None

    def teardown(self):
        local_moves._renameat2 = self.renameat2
        super().teardown()


class ByCopy(Conservation):
    """Where the duplicates of both folders go to one, on another device."""

    def _into(self):
        return Path(tempfile.mkdtemp()) / "aside"

    def _above(self):
        return self.layout.into.parent

    @invariant()
    def what_is_above_is_left_alone(self):
        assert self._above().is_dir()

    def teardown(self):
        shutil.rmtree(self._above())
        super().teardown()


class InPlace(ByCopy):
    """Where, besides, neither file system has a rename that replaces nothing, or hard links: copied under the target's own name."""

    def __init__(self):
        super().__init__()
        self.no_rename = no_rename()
        self.no_rename.__enter__()

    def teardown(self):
        self.no_rename.__exit__(None, None, None)
        super().teardown()

    def _copying(self):
        """Return what is copied under its own name, as far as it is not known how that ended."""
        opened = [one for journal in self.journals for one in read_journal(journal) if one.state == "open"]
        return [one for one in opened if one.part == one.target]

    def _is_announced(self, path):
        return path in {one.target for one in self._copying()}

    def _forgive(self, path):
        super()._forgive(path)
        for one in self._copying():
            if one.source == path and one.target.exists():
                # An unfinished copy whose original is no longer there to show that it is one stays.
                self.forgiven[digest_of(one.target)] += 1
                self.owned.add(one.target)


def digest_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("machine", [Conservation, ByLink, ByCopy, InPlace])
def test_conservation(machine):
    if issubclass(machine, ByCopy) and (
        not SHM.is_dir() or SHM.stat().st_dev == Path(tempfile.gettempdir()).stat().st_dev
    ):
        pytest.skip("needs /dev/shm on another device than the temporary folder")
    before = FIGURES.copy()
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=settings().max_examples // 5,
            stateful_step_count=settings().stateful_step_count // 2,
            suppress_health_check=list(HealthCheck),
        ),
    )
    done = FIGURES - before
    assert done["kills survived"] > done["sequences of steps"] / 2
    assert done["files moved"] > done["sequences of steps"] / 2
