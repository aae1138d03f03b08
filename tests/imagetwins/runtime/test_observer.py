"""Whoever follows a run is told how far it is, some times a second."""

from imagetwins.runtime.observer import Observer, observer, progress_of


class Noting(Observer):
    def __init__(self):
        self.told = []

    def progressed(self, stage, done, total, unit="", part=0):
        self.told.append((stage, done, total, unit, part))


def test_of_many_small_steps_few_are_told_but_the_first_and_the_last():
    noting = Noting()
    token = observer.set(noting)
    try:
        progress = progress_of("move", "file", part=3)
    finally:
        observer.reset(token)
    for done in range(1, 10_001):
        progress(done, 10_000)
    assert noting.told[0] == ("move", 1, 10_000, "file", 3)
    assert noting.told[-1] == ("move", 10_000, 10_000, "file", 3)
    assert len(noting.told) < 1000
    assert all(before[1] < after[1] for before, after in zip(noting.told, noting.told[1:], strict=False))
