"""A store as imagetwins 0.1.0 wrote it, with the folders of its runs, unpacked into a folder of the test's.

The archive `tests/data/store-0.1.0.tar.xz` was made with that version's command line, by these commands on the folders /photos/one and
/photos/two: a dry run at 0.95, a run that was restored, and a run with `--keep resolution --reference /photos/one/sub` on the first, and
a run on the second that was killed (SIGKILL) after its fourth move. Left out are the cache, the locks and the reports.
"""

import os
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ARCHIVE = Path(__file__).parents[1] / "data" / "store-0.1.0.tar.xz"
THEN = "/photos"


def unpack(home):
    """Unpack the archive into `home`, as if it had been written there; return the store."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(home, filter="data")
    store, photos = home / "store", home / "photos"
    for file in [*store.glob("runs/*/run.json"), *store.glob("runs/*/journal.jsonl")]:
        file.write_text(file.read_text().replace(f'"{THEN}', f'"{photos}').replace('"/store"', f'"{store}"'))
    for part in store.glob("*/run_id=*/*.parquet"):
        _relocate(part, str(photos))
    for part in store.glob("images/*/*.parquet"):
        _set_times(pq.read_table(part, partitioning=None))
    return store


def _relocate(part, photos):
    """Let the paths of a table begin with `photos`, and leave the rest of the file as it was written."""
    table = pq.read_table(part, partitioning=None)
    for index, field in enumerate(table.schema):
        if field.type in (pa.string(), pa.binary()) and field.name != "digest":
            then, now = (name.encode() if field.type == pa.binary() else name for name in (THEN, photos))
            moved = pc.replace_substring(
                table[field.name],
                pattern=f"{then}/" if isinstance(then, str) else then + b"/",
                replacement=f"{now}/" if isinstance(now, str) else now + b"/",
            )
            table = table.set_column(index, field, moved)
    pq.write_table(table, part)


def _set_times(images):
    """Give the files the times that were listed: an archive holds less exact ones."""
    for row in images.to_pylist():
        source = Path(os.fsdecode(row["path_bytes"] or row["path"].encode()))
        folder = next(parent for parent in source.parents if parent.parent.name == "photos")
        for file in (source, folder / "Duplicates" / source.relative_to(folder)):
            if file.exists():
                os.utime(file, ns=(row["mtime_ns"], row["mtime_ns"]))
