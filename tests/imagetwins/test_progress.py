"""How far a piece of work is."""

from imagetwins.progress import continued, counted


def test_each_item_counts_when_the_next_is_asked_for():
    told = []
    items = counted("abc", lambda *how_far: told.append(how_far), 3)
    assert next(items) == "a"
    assert told == []
    assert list(items) == ["b", "c"]
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_part_goes_on_where_others_ended_and_knows_nothing_of_the_whole():
    told = []
    list(counted("ab", continued(lambda *how_far: told.append(how_far), 64), 2))
    assert told == [(65, None), (66, None)]
