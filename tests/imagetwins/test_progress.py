"""How far a piece of work is."""

from imagetwins.progress import continued, counted, without_total


def test_each_item_counts_when_the_next_is_asked_for():
    told = []
    items = counted("abc", lambda *how_far: told.append(how_far), 3)
    assert next(items) == "a"
    assert told == []
    assert list(items) == ["b", "c"]
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_work_goes_on_where_other_work_ended():
    told = []
    list(counted("ab", continued(lambda *how_far: told.append(how_far), 64), 2))
    list(counted("a", continued(lambda *how_far: told.append(how_far), 66)))
    assert told == [(65, 66), (66, 66), (67, None)]


def test_a_part_says_nothing_of_the_whole():
    told = []
    list(counted("ab", continued(without_total(lambda *how_far: told.append(how_far)), 64), 2))
    assert told == [(65, None), (66, None)]
