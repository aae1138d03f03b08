"""The symbolic links that lead to what a run moves: known since it was listed, and changed by persons since then."""

from imagetwins.storage import Location, storage_of
from imagetwins.storage.location import from_columns, name_to_columns
from imagetwins.store.schemas import LINKS
from imagetwins.store.tables import read_table_if_any, write_table


def write_current_links(listed: Location, table: Location) -> None:
    """Write those of the links in the table `listed` that say what they said then to `table`, which may be the same."""
    links = read_table_if_any(listed, LINKS)
    is_current = [
        _read(from_columns(path, path_bytes)) == says
        for path, path_bytes, says in links[["path", "path_bytes", "says"]].itertuples(index=False)
    ]
    write_table(links.loc[is_current], LINKS, table / "part-0.parquet")


def _read(link: Location) -> str | None:
    says = storage_of(link).read_link(link)
    return None if says is None else name_to_columns(says)[0]
