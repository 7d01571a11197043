"""What the parts of a file's name mean: patterns such as ``{centre}/{patient}/{case}_{view}.png``."""

from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any

from monai_lesion.datasets.entries import Entry
from monai_lesion.datasets.image_lists import files_in
from monai_lesion.datasets.mask_names import SUFFIXES, masks_of, stem_of
from monai_lesion.errors import InputError, listing
from monai_lesion.files import true_place

logger = logging.getLogger(__name__)

_PARTS = re.compile(r"(\{[A-Za-z]\w*\}|\*\*/|\*)")
_PLACE = re.compile(r"\{([A-Za-z]\w*)\}")
_KEPT = ("image", "label", "empty")  # what an entry says itself
_DATE = re.compile(r"(?:.*_)?(?:date|day|month|year|time|visit)", re.IGNORECASE)
_DAY = re.compile(r"(?:19|20)\d\d([-_.]?)(?:0\d|1[0-2])\1[0-3]\d(?:\D.*)?")  # a folder named after a day
_WORDS = {  # what folders are likely to mean, from the top; a date where they are named after days
    ("",): ("patient",),
    ("", ""): ("patient", "date"),
    ("date", ""): ("date", "patient"),
    ("", "", ""): ("centre", "patient", "date"),
    ("", "date", ""): ("centre", "date", "patient"),
    ("date", "", ""): ("date", "patient", "case"),
}
_KNOWN = {"case": "case_id", "patient": "patient_id"}  # the pattern's short words


@dataclass(frozen=True)
class Named:
    """A file whose name a pattern fits.

    Args:
        path: the file, from the folder of the data.
        words: the text of each word of the pattern.
        owner: whose case it is: the patient, and the text of each other word and ``*`` in the pattern's folders but
            that of ``{view}`` and ``{case}``; without ``{case}`` a date in the file's name, too.
        place: words of the folders above ``{patient}``, but those of a date: where the patient's name was given.
    """

    path: str
    words: Mapping[str, str]
    owner: tuple[str, ...]
    place: tuple[str, ...] = ()

    @property
    def case(self) -> tuple[str, ...]:
        """The case with its owner."""
        return (*self.owner, *((self.words["case"],) if "case" in self.words else ()))

    @property
    def view(self) -> str:
        """The view; "single" where the pattern has none."""
        return self.words.get("view", "single")


def words_of(pattern: str) -> set[str]:
    """The words of a pattern.

    Example:
        >>> sorted(words_of("{case}_{view}.png"))
        ['case', 'view']
    """
    return set(_PLACE.findall(pattern))


def expression(pattern: str, *, greedy: bool = False) -> re.Pattern[str]:
    """The regular expression of a pattern; ``*`` is any text but ``/``, and ``**/`` any folders or none.

    Args:
        pattern: the pattern.
        greedy: whether a word takes as much of a name as it can; else it takes as little.
    """
    text, known = "", set()
    for number, part in enumerate(_PARTS.split(pattern)):
        place = _PLACE.fullmatch(part)
        if part == "**/":
            text += f"(?:(?P<_{number}>.*)/)?"
        elif part == "*":
            text += f"(?P<_{number}>[^/]*)"
        elif place is None:
            text += re.escape(part)
        elif place[1] in known:
            text += f"(?P={place[1]})"
        else:
            text += f"(?P<{place[1]}>[^/]+{'' if greedy else '?'})"
            known.add(place[1])
    return re.compile(text)


def fill(pattern: str, words: Mapping[str, str]) -> str:
    """Put words into a pattern.

    Example:
        >>> fill("masks/{case}_{view}.png", {"case": "7", "view": "front"})
        'masks/7_front.png'
    """
    return _PLACE.sub(lambda place: words[place[1]], pattern)


def name_files(paths: Sequence[str], pattern: str) -> list[Named]:
    """Find the files that a pattern fits.

    A name that can be read in two ways, as ``patient_001_front`` by ``{case}_{view}``, is read so that there are more
    cases than views, and the log says how.

    Args:
        paths: files, from the folder of the data, with ``/``.
        pattern: the pattern.

    Raises:
        InputError: when the pattern has neither ``{case}`` nor ``{patient}``, or a word with a meaning of its own.
    """
    if not words_of(pattern) & {"case", "patient"}:
        fix = "For example {case}_{view}.png"
        raise InputError("images", "the pattern must hold {case} or {patient}", got=pattern, fix=fix)
    for name in _KEPT:
        if name in words_of(pattern):
            raise InputError("images", f"the pattern cannot hold {{{name}}}", got=pattern, fix="Choose another word")
    short = _fitting(paths, pattern, greedy=False)
    long = _fitting(paths, pattern, greedy=True)
    if short == long or _plausible(short) or not _plausible(long):
        return short
    one = next(each for each, other in zip(long, short, strict=True) if each != other)
    told = ", ".join(f"{word} {text}" for word, text in one.words.items())
    logger.info("%s can be read in several ways; it is taken for %s", one.path, told)
    return long


def _fitting(paths: Iterable[str], pattern: str, *, greedy: bool) -> list[Named]:
    known = expression(pattern, greedy=greedy)
    depth = pattern.count("/")
    found = []
    for path in paths:
        if (match := known.fullmatch(path)) is None:
            continue
        groups = match.groupdict(default="")
        words = {name: text for name, text in groups.items() if not name.startswith("_")}
        dated = () if "case" in words else tuple(filter(_DATE.fullmatch, words))
        inside = [name for name in groups if _slashes_before(pattern, name) < depth or name in dated]
        inside = [name for name in inside if name not in ("view", "case")]
        whose = [name for name in words if name == "patient" and name not in inside] + inside
        above = inside[: inside.index("patient")] if "patient" in inside else []
        place = tuple(groups[name] for name in above if not name.startswith("_") and not _DATE.fullmatch(name))
        found.append(Named(path, words, tuple(groups[name] for name in whose if groups[name]), place))
    return found


def _slashes_before(pattern: str, group: str) -> int:
    """How many ``/`` stand before the first place of a group."""
    if group.startswith("_"):
        return "".join(_PARTS.split(pattern)[: int(group[1:])]).count("/")
    return pattern[: pattern.index(f"{{{group}}}")].count("/")


def _plausible(found: Sequence[Named]) -> bool:
    """Whether there are at least as many cases as kinds of view, and no case has two pictures of one view."""
    pictures = {(each.case, each.view) for each in found}
    return len(pictures) == len(found) and len({each.case for each in found}) >= len({each.view for each in found})


def name_by_stem(paths: Iterable[str], *, folder: object = "data") -> list[Named]:
    """Take each picture for a case of its own, where nobody said what the names mean.

    Args:
        paths: files, from the folder of the data, with ``/``.
        folder: the folder of the data, for the message.

    Raises:
        InputError: when the names look like several views of a case; it says which pattern would name them.
    """
    files = [PurePosixPath(path) for path in paths]
    by_name = [(f"{file.parent}/{head}", tail) for file in files for head, _, tail in [_cut(file)] if tail]
    by_folder = [(str(file.parent), stem_of(file.name)) for file in files if file.parent.name]
    readings = [(by_name, _pattern_of_names(files)), (by_folder, _pattern_of_folders(files))]
    if len({_cut(file)[0] for file in files}) < len({file.parent for file in files}):
        readings.reverse()  # us_0001.png in every folder: the folders name the patients
    days = {file.parent for file in files}
    if all(_DAY.fullmatch(day.name) and day.parent.name for day in days):  # Pat00/2021-03-04: who comes again?
        by_day = [(str(day.parent), day.name) for day in days]
        readings.append((by_day, _pattern_of_folders(files)))
    else:
        by_day = []
    for parts, pattern in readings:
        groups: dict[str, list[str]] = defaultdict(list)
        for head, tail in parts:
            groups[head].append(tail)
        tails = {tail for found in groups.values() for tail in found}
        if len(parts) > len(groups) and (len(groups) > len(tails) or parts is by_day):
            head, views = next((head, found) for head, found in sorted(groups.items()) if len(found) > 1)
            what = "days of one patient" if parts is by_day else "views of one case"
            fix = (
                f"If these are {what}, say so: --images '{pattern}'. If each picture is of another "
                f"patient: --images '**/{{case}}{_ending(files)}'"
            )
            got = f"{PurePosixPath(head)} with {listing(sorted(views))}"
            raise InputError(folder, "it must be clear which pictures are of one patient", got=got, fix=fix)
    return [Named(str(file), {"case": stem_of(file.name)}, file.parent.parts) for file in files]


def _cut(file: PurePosixPath) -> tuple[str, str, str]:
    """A file's name before its last separator, the separator, and after it; nothing where it has none."""
    stem = stem_of(file.name)
    match = re.fullmatch(r"(.+)([ ._-])([^ ._-]+)", stem) or re.fullmatch(r"(.*\d)()([A-Za-z])", stem)  # 007L
    return (match[1], match[2], match[3]) if match else (stem_of(file.name), "", "")


def _ending(files: Iterable[PurePosixPath]) -> str:
    endings = {file.name[len(stem_of(file.name)) :] for file in files}
    return endings.pop() if len(endings) == 1 else ".*"


def _pattern_of_names(files: Sequence[PurePosixPath]) -> str:
    separators = Counter(_cut(file)[1] for file in files if _cut(file)[2]).most_common(1)
    separator = separators[0][0] if separators else "_"
    days = [_cut(PurePosixPath(_cut(file)[0])) for file in files if _cut(file)[2]]
    case = f"{{patient}}{days[0][1]}{{date}}" if days and all(_DAY.fullmatch(day[2]) for day in days) else "{case}"
    parents = {str(file.parent) for file in files}
    folder = "**/" if len(parents) > 1 else "" if parents == {"."} else f"{parents.pop()}/"
    return f"{folder}{case}{separator}{{view}}{_ending(files)}"


def _pattern_of_folders(files: Sequence[PurePosixPath]) -> str:
    depth = min((len(file.parts) for file in files), default=1) - 1
    levels = [{file.parts[level] for file in files} for level in range(depth)]
    shared = files[0].parts[: len(list(takewhile(lambda level: len(level) == 1, levels)))]
    days = ["date" if all(map(_DAY.fullmatch, level)) else "" for level in levels[len(shared) :]]
    words = _WORDS.get(tuple(days)) or _WORDS.get(("",) * len(days), ("**", "patient"))
    folders = "".join("**/" if word == "**" else f"{{{word}}}/" for word in words)
    return "".join(f"{part}/" for part in shared) + f"{folders}{{view}}{_ending(files)}"


def as_entries(found: Sequence[Named], *, repeated_views: bool = False) -> list[Entry]:
    """Make the entries of files, without labels: case, view, image, patient and the pattern's other words.

    Where a case's name stands in several folders, or belongs to several patients, each case gets patient and folders
    before its name, so that ``centreA/0`` and ``centreB/0`` stay two cases. In the same way patients of one name in two
    ``{centre}/{patient}`` stay two patients; below a ``{date}`` they stay one.

    Args:
        found: the files.
        repeated_views: whether a case may have several pictures of a view; they are numbered, ``front``, ``front 2``.

    Raises:
        InputError: when a case has two pictures of one view.
    """
    owners: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for each in found:
        owners[each.words.get("case", "")].add(each.owner)
    several = next((name for name, its in owners.items() if name and len(its) > 1), "")
    if several and not all("patient" in each.words for each in found):
        folders = ", ".join(
            "/".join(owner) for owner in sorted(owners[several], key=_of_one_patient(owners[several]))[:3]
        )
        fix = "If one patient is in several, name the patient: {patient}"
        logger.warning("case %s is in %s: they are taken for different patients. %s", several, folders, fix)
    places: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for each in found:
        places[each.words.get("patient", "")].add(each.place)
    alike = any(len(its) > 1 for name, its in places.items() if name)
    counts: dict[tuple[str, str], list[str]] = defaultdict(list)
    entries = []
    for each in found:
        whole = several or "case" not in each.words
        case = "/".join(each.case) if whole else each.words["case"]
        named = {_KNOWN.get(word, word): text for word, text in each.words.items() if word not in ("case", "view")}
        if alike:
            named["patient_id"] = "/".join((*each.place, each.words["patient"]))
        before = counts[case, each.view]
        before.append(each.path)
        view = each.view if len(before) == 1 else f"{each.view} {len(before)}"
        entries.append({"case_id": case, "view": view, "image": each.path, **named})
    _check_views(counts, repeated=repeated_views)
    cases, views = len({entry["case_id"] for entry in entries}), len({each.view for each in found})
    if views > max(cases, 2):
        logger.warning("%d cases have %d kinds of view: does {view} take a part of the case's name?", cases, views)
    return entries


def _of_one_patient(owners: Iterable[tuple[str, ...]]) -> Callable[[tuple[str, ...]], tuple[Any, ...]]:
    """A key that sorts owners so that the likeliest to be one patient come first: their last folders are alike."""
    counts = Counter(PurePosixPath(*owner).name for owner in owners)
    return lambda owner: (-counts[PurePosixPath(*owner).name], PurePosixPath(*owner).name, owner)


def _check_views(counts: Mapping[tuple[str, str], Sequence[str]], *, repeated: bool) -> None:
    twice = [(key, files) for key, files in counts.items() if len(files) > 1]
    if twice and not repeated:
        told = [f"{', '.join(files[:3])} of case {case}, view {view}" for (case, view), files in twice[:3]]
        more = f" and {len(twice) - len(told)} more" if len(twice) > len(told) else ""
        fix = "Name what differs in the pattern, such as {patient} or {view}, or number them with --repeated-views"
        raise InputError("images", "a case may have one picture of a view", got="; ".join(told) + more, fix=fix)


def nearly_fitting(paths: Iterable[str], pattern: str) -> list[str]:
    """The files that a pattern misses by letter case or by their ending alone, or does not miss.

    Example:
        >>> nearly_fitting(["A_1.PNG", "b_1.png"], "a_{case}.jpg")
        ['A_1.PNG']
    """
    ending = "|".join(map(re.escape, SUFFIXES))
    nearly = re.compile(f"{expression(stem_of(pattern)).pattern}(?:{ending})", re.IGNORECASE)
    return [path for path in paths if nearly.fullmatch(path)]


def left_out(folder: Path, pattern: str, used: set[str], *, skipped: Path | None = None) -> None:
    """Say in the log which pictures of a folder a pattern does not take, and which of them it misses by a hair.

    Args:
        folder: the folder of the data.
        pattern: the pattern of the images.
        used: files taken as an image or a label.
        skipped: folder below it to leave alone.
    """
    files = [file for file in files_in(folder) if skipped is None or not true_place(file).is_relative_to(skipped)]
    others = [path.relative_to(folder).as_posix() for path in files]
    others = [path for path in others if path not in used]
    near = nearly_fitting(others, pattern)
    masks = {mask for found in masks_of([*others, *used]).values() for mask in found}
    near = [path for path in near if path not in masks]
    if near:
        logger.warning(
            "left out %d that differ from --images only by letter case or ending: %s", len(near), listing(near)
        )
    rest = [path for path in others if path not in {*near, *masks}]
    if rest:
        logger.warning("left out %d other pictures that --images does not fit: %s", len(rest), listing(rest))
    unused = [path for path in others if path in masks]
    if unused:
        logger.warning("left out %d masks whose picture is not taken, or by --labels: %s", len(unused), listing(unused))
