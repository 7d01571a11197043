"""Where the frames of compressed pixel data lie: found by their items, because offset tables lie.

::

    offset table | item | item | item | item | end
                   frame 0      frame 1 ...

Written here because pydicom 3 believes any table, and pydicom 2 has no function that tells where an item is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

from monai_lesion.images.codestreams import begins

ITEM = b"\xfe\xff\x00\xe0"
MAX_ITEMS = 2**20  # a frame seldom has more than one, and a cine seldom a thousand frames
HEAD = 16  # bytes that tell whether an item begins a frame


class Item(NamedTuple):
    """One fragment of compressed data.

    Args:
        start: where in the file its content begins.
        length: of its content.
    """

    start: int
    length: int


class Frames(NamedTuple):
    """What compressed pixel data holds.

    Args:
        items: the items of each frame.
        note: what was wrong with it, and what was done instead; empty when all is well.
    """

    items: list[list[Item]]
    note: str = ""


def read_items(stream: BinaryIO, start: int) -> tuple[bytes, list[Item]]:
    """The basic offset table, and the items behind it; what is cut off or follows the last item is left out.

    Args:
        stream: the file.
        start: where the pixel data begins.

    Raises:
        ValueError: for pixel data that does not begin with an item, or has more than ``MAX_ITEMS``.

    Source:
        DICOM PS3.5, A.4.
    """
    stream.seek(0, 2)
    end = stream.tell()
    items: list[Item] = []
    at = start
    while at + 8 <= end:
        stream.seek(at)
        head = stream.read(8)
        if head[:4] != ITEM:
            break
        length = min(int.from_bytes(head[4:], "little"), end - at - 8)
        items.append(Item(at + 8, length))
        if len(items) > MAX_ITEMS:
            raise ValueError(f"more than {MAX_ITEMS} items")
        at += 8 + length
    if not items:
        raise ValueError("no item")
    stream.seek(items[0].start)
    return stream.read(items[0].length), items[1:]


def find_frames(
    stream: BinaryIO, items: Sequence[Item], syntax: str, count: int, tables: Sequence[Sequence[int]]
) -> Frames:
    """Divide items into frames.

    A frame begins where its data begins as a compressed picture does. Where that does not give as many frames as the
    header says, a table of offsets counts if each of them lands on an item, then one item a frame.

    Args:
        stream: the file.
        items: as :func:`read_items` found them.
        syntax: transfer syntax.
        count: number of frames in the header, at least 1.
        tables: offsets of frames, from the first item, as the basic and the extended table give them.

    Raises:
        ValueError: when the frames cannot be told apart.

    Source:
        DICOM PS3.5, A.4; PS3.3, C.7.6.3.1.8 (Extended Offset Table).
    """
    given = [list(table) for table in tables if len(table)]
    starts = [place for place, item in enumerate(items) if begins(_head(stream, item), syntax)]
    offsets = [items[place].start - items[0].start for place in starts]
    if len(starts) == count:
        frames = _divided(items, starts)
        wrong = "the table of frames does not point at them; they were found by their beginnings"
        return Frames(frames, wrong if any(table != offsets for table in given) else "")
    if count == 1 and len(starts) < 2:
        return Frames([list(items)])
    places = {item.start - items[0].start: place for place, item in enumerate(items)}
    for table in given:
        landed = [places.get(offset, -1) for offset in table]
        if len(landed) == count and landed[0] == 0 and landed == sorted(set(landed)):
            return Frames(_divided(items, landed))
    if len(items) == count:
        return Frames([[item] for item in items])
    certain = len(starts) == len(items) or offsets in [table[: len(starts)] for table in given]
    if len(starts) > count or (starts and certain):
        used = f"the first {count} are" if count > 1 else "the first is"
        note = f"{used} used" if len(starts) > count else "the others are missing"
        return Frames(_divided(items, starts), f"the pixel data holds {len(starts)} frames; {note}")
    raise ValueError(f"{len(items)} items for {count} frames")


def _divided(items: Sequence[Item], starts: Sequence[int]) -> list[list[Item]]:
    return [list(items[start:end]) for start, end in zip(starts, [*starts[1:], len(items)], strict=True)]


def _head(stream: BinaryIO, item: Item) -> bytes:
    stream.seek(item.start)
    return stream.read(min(HEAD, item.length))
