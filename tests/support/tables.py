"""Tables of which only what matters is written down."""

import pyarrow as pa

from imagetwins.store.tables import as_frame

NOTHING = {pa.int32(): 0, pa.int64(): 0, pa.string(): "", pa.binary(): b"", pa.bool_(): False}


def make_table(schema, rows):
    """Return a table of `rows`, dictionaries; what they leave out is null or, where that is not allowed, nothing."""
    left_out = {field.name: None if field.nullable else NOTHING[field.type] for field in schema}
    return as_frame({name: [row.get(name, left_out[name]) for row in rows] for name in schema.names}, schema)
