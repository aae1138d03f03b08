"""A past run that is small enough to answer questions about by hand."""

PATHS = [f"/pictures/{name}" for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg", "f.jpg", "sub/a.jpg", "bad.jpg")]
# b is a copy of a; c resembles b, and a a little less; e is a doubtful copy of d; f is a near miss of d.
SCORES = {
    (0, 1): (0.95, 0.93),
    (1, 2): (0.92, 0.90),
    (0, 2): (0.86, 0.85),
    (3, 4): (0.97, 0.30),
    (3, 5): (0.88, 0.80),
}


def row(table, **values):
    for name, value in values.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]
