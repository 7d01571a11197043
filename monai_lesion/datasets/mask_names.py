"""Which files are masks of which pictures, by their names: ``1_mask.png`` beside ``1.png``, ``masks/1.png`` ..."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from monai_lesion.images.volumes import VOLUME_SUFFIXES

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".dcm", *VOLUME_SUFFIXES)  # of pictures and masks

_WORDS = "masks?|labels?|lbls?|segs?|segmentations?|segmented|gt|ground[ _-]?truths?|annotations?"
_ENDS = re.compile(rf"(?P<stem>.+?)[ ._-]+(?:{_WORDS})(?:[ ._-]*\(?\d+\)?)?", re.IGNORECASE)
_BEGINS = re.compile(rf"(?:{_WORDS})[ ._-]+(?P<stem>.+)", re.IGNORECASE)
_MASKS = re.compile(rf"(?:.*[ ._-])?(?:{_WORDS})(?:tr|ts)?", re.IGNORECASE)
_PICTURES = re.compile(r"(?:images?|imgs?|pictures?|originals?|data|raw|jpegimages)(?:tr|ts)?", re.IGNORECASE)
_PICTURE = re.compile(r"(?P<stem>.+?)[ ._-](?:image|img|original|0000)", re.IGNORECASE)  # nnU-Net's first channel
# Words that touch the rest: mask7 and img7, 7Mask; no other word may end so, as damask does.
_GLUED = re.compile(r"(?:mask|label|lbl|seg|gt)(?P<stem>\d.*)", re.IGNORECASE)
_GLUED_END = re.compile(r"(?P<stem>.*[\da-z])(?:Mask|Label|Seg|GT)|(?P<digits>.*\d)(?:mask|label|seg|gt)")
_GLUED_PICTURE = re.compile(r"(?:image|img|picture|scan|us)(?P<stem>\d.*)", re.IGNORECASE)


def stem_of(name: str) -> str:
    """Drop the ending of a picture; what follows the last dot of a DICOM identifier is not an ending."""
    ending = max((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), key=len, default="")
    return name[: len(name) - len(ending)] or name


def masks_of(paths: Iterable[str]) -> dict[str, list[str]]:
    """Find the pictures that have masks, and their masks in order.

    A file is a mask when its name or a folder says so and a picture of the same name is there without that word: in the
    same folder, or in a folder beside it.

    Args:
        paths: files, with ``/``.

    Example:
        >>> masks_of(["1.png", "1_mask.png", "1_mask_1.png", "images/2.jpg", "masks/2.png", "3_mask.png"])
        {'1.png': ['1_mask.png', '1_mask_1.png'], 'images/2.jpg': ['masks/2.png']}
    """
    pictures: dict[tuple[str, ...], list[str]] = defaultdict(list)
    likely: list[tuple[str, list[tuple[str, ...]]]] = []
    for path in paths:
        *folders, name = path.split("/")
        stem = stem_of(name)
        told = [part for part in folders if not _MASKS.fullmatch(part)]
        place = tuple(part.casefold() for part in told if not _PICTURES.fullmatch(part))
        matches = [each.fullmatch(stem) for each in (_ENDS, _BEGINS, _GLUED, _GLUED_END)]
        stems = [next(filter(None, match.groups())) for match in matches if match]
        if len(told) < len(folders):
            stems.append(stem)
        if stems:
            likely.append((path, [(*place, one.casefold()) for one in stems]))
        else:
            plain = _PICTURE.fullmatch(stem)
            pictures[(*place, (plain["stem"] if plain else stem).casefold())].append(path)
    ends: dict[tuple[str, ...], list[str]] = defaultdict(list)  # mask_7.png of bus_7.png, mask7.png of img7.png
    for place, found in pictures.items():
        if glued := _GLUED_PICTURE.fullmatch(place[-1]):
            ends[(*place[:-1], glued["stem"])] += found
        for match in re.finditer("[ ._-]", place[-1]):
            ends[(*place[:-1], place[-1][match.end() :])] += found
    masks: dict[str, list[str]] = defaultdict(list)
    for path, places in likely:
        found = next((found for place in places if (found := pictures.get(place) or ends.get(place, []))), [])
        if len(found) == 1:
            masks[found[0]].append(path)
    return {picture: sorted(masks[picture], key=_in_order) for picture in sorted(masks)}


def _in_order(path: str) -> tuple[Sequence[str], list[int], str]:
    """``_mask``, ``_mask_1``, ``_mask_2`` and then ``_mask_10``."""
    return re.split(r"\d+", path), [int(number) for number in re.findall(r"\d+", path)], path
