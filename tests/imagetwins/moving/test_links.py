"""Links that a person changes before the files move."""

from imagetwins.moving.links import write_current_links
from imagetwins.store.runs import Run
from imagetwins.store.schemas import LINKS
from imagetwins.store.tables import read_table_if_any, write_table
from tests.support.past_runs import link_table


def test_links_that_say_something_else_by_now_or_are_gone_are_forgotten(tmp_path):
    names = ["same", "changed", "gone", "a file", b"\xff.png".decode(errors="surrogateescape")]
    for name in names:
        (tmp_path / name).symlink_to("a.png")
    run, later = (Run(tmp_path / "store", name) for name in "12")
    write_table(
        link_table({str(tmp_path / name): ("a.png", "/p/a.png") for name in names}), LINKS, run.links / "x.parquet"
    )
    for name in names[1:4]:
        (tmp_path / name).unlink()
    (tmp_path / "changed").symlink_to("b.png")
    (tmp_path / "a file").touch()

    write_current_links(run.links, later.links)

    assert read_table_if_any(later.links, LINKS)["path"].tolist() == [f"{tmp_path}/same", rf"{tmp_path}/\xff.png"]


def test_a_run_of_an_older_version_knew_of_no_links(tmp_path):
    write_current_links(tmp_path / "links/run_id=1", tmp_path / "links/run_id=2")
    assert read_table_if_any(tmp_path / "links/run_id=2", LINKS).empty
