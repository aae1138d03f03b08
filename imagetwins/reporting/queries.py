"""SQL over the Parquet tables of a store, run by DuckDB with bound parameters; only the columns that a question needs are read."""

from typing import Any

import pandas as pd
import pyarrow as pa

from imagetwins.storage import Location, is_url, parse_location, storage_of
from imagetwins.store.tables import list_parts


def query(sql: str, **parameters: Any) -> pd.DataFrame:
    """Return the answer to `sql`, whose $names are `parameters`."""
    import duckdb  # noqa: PLC0415 - 0.2 s that only questions about past runs need to pay

    with duckdb.connect() as connection:
        if filesystem := _filesystem_of(parameters):
            # DuckDB reads through it; no extension of DuckDB's is fetched from anywhere.
            connection.register_filesystem(filesystem)
        answer: pa.Table = connection.sql(sql, params=parameters).to_arrow_table()
    return answer.to_pandas(types_mapper={pa.int32(): pd.Int32Dtype()}.get)


def _filesystem_of(parameters: dict[str, Any]) -> Any:
    """Return the file system of the tables among `parameters`, which are of one store; None: this machine's."""
    first = next((value[0] for value in parameters.values() if isinstance(value, list) and value), "")
    if not isinstance(first, str) or not is_url(first):
        return None
    location = parse_location(first)
    return storage_of(location).arrow_source(location)[1]


def parts_of_run(directory: Location) -> list[str]:
    """Return the Parquet parts of one run's table, as DuckDB takes them.

    Raises:
        StoreError: there is none.
    """
    return [str(part) for part in list_parts(directory)]


def parts_of_store(store: Location, table: str) -> list[str]:
    """Return the Parquet parts of a table of all runs, as DuckDB takes them."""
    # Listed here, not by a pattern in SQL: a store's path may hold characters that patterns are made of.
    return [str(part) for part in storage_of(store).glob(store / table, "run_id=*/*.parquet")]
