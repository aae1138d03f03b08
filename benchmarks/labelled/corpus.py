"""A labelled corpus: copies that should be found, and look-alikes that should not, kind by kind.

Two files are copies of each other exactly if they have the same label; a look-alike is a picture that a person calls another
one. Everything is made on this machine, the same on every call.

    album/                  the pictures that are copied
    copies/<kind>/          copies of them; or pairs of their own, where the originals are none that can be changed so
    lookalikes/<kind>/      families of different pictures; files of one family differ in what matters to a person
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.labelled.copies import CHANGES, PAIRS, make_originals, pair_lookalikes
from benchmarks.labelled.lookalikes import LOOKALIKES
from benchmarks.labelled.sources import Sources

SEED = 12
ORIGINALS, COPIES, LOOKALIKE = "album", "copies", "lookalikes"


@dataclass(frozen=True)
class Labelled:
    """A file of the corpus: its path below the corpus, what it shows, and its bytes."""

    path: str
    label: str
    content: bytes

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]


def iter_corpus(sources: Sources) -> Iterator[Labelled]:
    """Yield every file of the corpus."""
    originals = make_originals(sources)
    for original in originals:
        yield Labelled(f"{ORIGINALS}/{original.name}{original.suffix}", original.name, original.content)
    for kind, change in CHANGES.items():
        rng = _generator(kind)
        for original in originals:
            suffix, content = change(original, rng)
            yield Labelled(f"{COPIES}/{kind}/{original.name}{suffix}", original.name, content)
    for kind, pairs in PAIRS.items():
        for number, pair in enumerate(pairs(sources, _generator(kind))):
            for letter, (suffix, content) in zip("ab", pair, strict=True):
                yield Labelled(f"{COPIES}/{kind}/{number:02}{letter}{suffix}", f"{kind}/{number}", content)
    yield from _iter_lookalikes(sources)


def _iter_lookalikes(sources: Sources) -> Iterator[Labelled]:
    """Yield the look-alikes, and copies of one of each family: a guard that holds those back costs recall."""
    for kind, make in LOOKALIKES.items():
        for number, family in enumerate(make(sources, _generator(kind))):
            for member, (suffix, content) in enumerate(family):
                name = f"{number:02}-{member}"
                yield Labelled(f"{LOOKALIKE}/{kind}/{name}{suffix}", f"{kind}/{name}", content)
                if member == 0:
                    for change, (changed_suffix, changed) in pair_lookalikes(suffix, content):
                        folder = f"{COPIES}/look-alikes, {change}"
                        yield Labelled(f"{folder}/{kind} {name}a{suffix}", f"{kind}/{name}", content)
                        yield Labelled(f"{folder}/{kind} {name}b{changed_suffix}", f"{kind}/{name}", changed)


def write_corpus(sources: Sources, folder: Path) -> dict[str, str]:
    """Write the corpus to `folder`; return the label of each file by its path below it."""
    labels = {}
    for file in iter_corpus(sources):
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
        labels[file.path] = file.label
    return labels


def _generator(kind: str) -> np.random.Generator:
    """Return the random numbers of a kind, which do not depend on the other kinds."""
    return np.random.default_rng([SEED, zlib.crc32(kind.encode())])
