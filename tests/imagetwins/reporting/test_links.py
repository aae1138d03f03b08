"""Which links dangle since a run, and the command that mends one."""

import io
import shlex
import subprocess

import pytest
from rich.console import Console

from imagetwins.cli.rendering import print_run
from imagetwins.moving.journal import open_journal
from imagetwins.reporting.answers import to_plain
from imagetwins.reporting.digest import make_digest
from imagetwins.reporting.gallery import draw_summary
from imagetwins.reporting.links import DanglingLink, find_dangling
from imagetwins.reporting.runs import audit_run
from imagetwins.storage import FileStamp
from imagetwins.store.record import RunStatus
from imagetwins.store.schemas import COMPANIONS, LINKS
from imagetwins.store.tables import as_frame, write_table
from tests.support.past_runs import image_table, link_table, write_run

LINKS_SEEN = {
    "/p/z": ("../q/b.png", "/p/b.png"),
    "/p/[red]x": ("b.png", "/p/b.png"),
    "/p/stays": ("a.png", "/p/a.png"),
    "/p/sidecar": ("b.xmp", "/p/b.xmp"),
}


@pytest.fixture
def make(tmp_path):
    def make(**options):
        images = image_table(["/p/a.png", "/p/b.png"])
        run = write_run(tmp_path, "1", images, {(0, 1): (0.97, 0.95)}, folder="/p", **options)
        run.journal.unlink()
        write_table(link_table(LINKS_SEEN), LINKS, run.links / "part-0.parquet")
        moved = "/p/Duplicates/b.xmp" if options.get("moved", True) else "/p/b.xmp"
        companion = {"image": [1], "path": ["/p/b.xmp"], "size_bytes": [1], "mtime_ns": [1], "new_path": [moved]}
        write_table(as_frame(companion, COMPANIONS), COMPANIONS, run.companions / "part-0.parquet")
        return run

    return make


def dangling(run):
    return find_dangling(run)


def test_links_to_what_moved_are_named_with_the_picture_that_stays(make):
    moved = ("/p/b.png", "/p/Duplicates/b.png", "/p/a.png")
    assert dangling(make()) == [
        DanglingLink("/p/[red]x", "b.png", *moved),
        DanglingLink("/p/sidecar", "b.xmp", "/p/b.xmp", "/p/Duplicates/b.xmp", None),
        DanglingLink("/p/z", "../q/b.png", *moved),
    ]


def test_of_a_dry_run_those_that_would_dangle_are_named_and_where_the_picture_would_be(make):
    found = {link.link: link.moved_to for link in dangling(make(moved=False, dry_run=True))}
    assert found == dict.fromkeys(("/p/[red]x", "/p/z"), "/p/Duplicates/b.png")


def test_what_was_put_back_is_no_longer_named(make):
    run = make()
    with open_journal(run.journal) as journal:
        for direction, ends in (("out", ("b.png", "Duplicates/b.png")), ("back", ("Duplicates/b.png", "b.png"))):
            source, target = (type(run.store)("/p", end) for end in ends)
            journal.done(journal.begin(direction, 1, source, target, FileStamp(1, 1, 1), None))
    assert [link.link for link in dangling(run)] == ["/p/sidecar"]
    with run.editing_record() as record:
        record.status = RunStatus.RESTORED
    assert dangling(run) == []


@pytest.mark.parametrize(("moved", "words"), [(True, "dangle now"), (False, "would dangle")])
def test_terminal_json_and_summary_name_them_harmlessly(make, moved, words):
    run = make(moved=moved)
    audit, printed = audit_run(run), io.StringIO()
    print_run(Console(file=printed, width=80), audit)
    said = " ".join(printed.getvalue().split())
    assert f"{2 + moved} symbolic links {words}: " in said
    assert "[red]x -> b.png; a.png stays" in said
    assert "ln -sfn -- a.png '/p/[red]x'" in said
    assert to_plain(audit)["dangling_links"][0]["link"] == "/p/[red]x"
    summary = draw_summary(audit.record, make_digest(run, audit.table), "/r", audit.dangling_links)
    assert f"{2 + moved} symbolic links {words}: " in summary
    assert "&#91;red&#93;x → b.png; " in summary


def test_of_many_links_the_first_are_named(make):
    run = make()
    links = {f"/p/{number:03}": ("b.png", "/p/b.png") for number in range(100)}
    write_table(link_table(links), LINKS, run.links / "part-0.parquet")
    printed = io.StringIO()
    print_run(Console(file=printed, width=80), audit_run(run))
    lines = printed.getvalue().splitlines()
    assert sum("-> b.png" in line for line in lines) == 5
    assert "  ... and 95 more: the report and --json have all" in lines


@pytest.mark.parametrize("name", ["a.png", "-n", "it's [a] $(touch x) \\ ünï.png"])
@pytest.mark.parametrize("is_relative", [True, False])
def test_the_command_has_the_link_lead_to_the_picture_that_stays_as_it_led_before(tmp_path, name, is_relative):
    link, kept = tmp_path / f"sub {name}" / name, tmp_path / f"kept {name}"
    link.parent.mkdir()
    kept.write_bytes(b"kept")
    says = "../gone" if is_relative else str(tmp_path / "gone")
    link.symlink_to(says)
    command = DanglingLink(str(link), says, str(tmp_path / "gone"), "", str(kept)).command

    subprocess.run(["sh", "-c", command], check=True, cwd=tmp_path)

    assert link.read_bytes() == b"kept"
    assert link.readlink().is_absolute() == (not is_relative)
    assert [path.name for path in link.parent.iterdir()] == [name]
    assert shlex.split(command)[:2] == ["ln", "-sfn"]


@pytest.mark.parametrize(("link", "kept"), [("/p/l", None), ("/p/a\nb", "/p/a"), ("/p/l", "/p/\\xff")])
def test_no_command_is_made_of_names_that_cannot_be_typed(link, kept):
    assert DanglingLink(link, "x", "/p/x", "/p/y", kept).command is None
