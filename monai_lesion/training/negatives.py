"""Make pictures without a lesion from pictures with one."""

from __future__ import annotations

import torch
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d

from monai_lesion.errors import InputError

TRIES = 16  # places drawn before a picture is left as it is
WINDOW = (0.45, 0.75)  # sides of a window, as shares of the picture's
CELL = 4  # pixels; brightness is fitted over cells, so that speckle is not
MARGIN = 2 * CELL  # pixels around a place that tell its brightness
DEPTH = 0.08  # tissue comes from no further up or down, as a share of the picture
LIKE = 0.8  # tissue may differ by this much in the logarithms of mean and deviation together
GAIN = 1.5  # brightness is fitted by no more than this factor
LARGEST = 0.12  # share of the picture that tissue can cover and look natural
TEXT = 0.15  # tissue that is brighter than all around by more is lettering


Pair = tuple[torch.Tensor, torch.Tensor]  # a picture and its label
Window = tuple[int, int, int, int]  # first row, row after the last, first column, column after the last


class RemoveLesions:
    """Remove the lesion from some training pictures, and edit others in the same ways but keep their lesion.

    ::

        with a lesion --+-- without: tissue of the same depth over it, or a window beside it --- label empty
                        +-- decoy: tissue elsewhere, or a window around the lesion ------------- label kept
                        +-- as it is

    A network that never sees a picture without a lesion finds one in every picture. A network that sees only edited
    ones may learn to recognise the editing, hence the decoys: the same edits in pictures that keep their lesion. The
    tissue comes from the picture itself if there is room beside the lesion, otherwise from another picture of the
    batch. Its brightness is matched to the surroundings, and its border is soft. The shadow or enhancement below the
    lesion stays.

    Random numbers come from PyTorch's generator, which :class:`monai_lesion.training.SeedEveryEpoch` seeds.

    Args:
        prob: probability that a picture loses its lesion.
        decoys: probability that a picture that keeps its lesion is edited.

    Raises:
        InputError: for a probability outside 0 to 1.
    """

    def __init__(self, prob: float = 0.1, *, decoys: float = 0.15) -> None:
        for name, value in {"negatives": prob, "decoys": decoys}.items():
            if not 0 <= value <= 1:
                raise InputError(name, "must be a probability from 0 to 1", got=value)
        self.prob = prob
        self.decoys = decoys

    def __call__(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Edit a batch.

        Args:
            images: ``(B, C, H, W)``, float in 0-1.
            labels: ``(B, 1, H, W)``, 0 and 1.

        Returns:
            Both, with the same shapes and types; the input does not change.
        """
        draws = torch.rand(len(images), 2).tolist()
        if all(first >= self.prob and second >= self.decoys for first, second in draws):
            return images, labels
        originals, marks = images, labels
        images, labels = images.clone(), labels.clone()
        lesions = widened(marks)
        for number, (first, second) in enumerate(draws):
            if not bool(marks[number].any()):
                continue
            changed = None
            if first < self.prob:
                changed = _without(originals, marks, lesions, number)
            elif second < self.decoys:
                changed = _decoy(originals, marks, lesions, number)
            if changed is not None:
                images[number], labels[number] = changed
        return images, labels


def _without(images: torch.Tensor, labels: torch.Tensor, lesions: torch.Tensor, number: int) -> Pair | None:
    """Remove the lesion of a picture and empty its label; None if neither way has room."""
    lesion, empty = lesions[number, 0], torch.zeros_like(labels[number])
    for beside in (True, False) if _draw() < 0.5 else (False, True):
        if beside:
            window = _window_beside(lesion, images[number])
            if window is not None:
                return _zoomed(images[number], window), empty
        else:
            covered = _covered(images, lesions, number, lesion)
            if covered is not None:
                return covered, empty
    return None


def _decoy(images: torch.Tensor, labels: torch.Tensor, lesions: torch.Tensor, number: int) -> Pair | None:
    """Edit a picture in the same ways but keep its lesion; None without room."""
    lesion, label = lesions[number, 0], labels[number]
    if _draw() < 0.5:
        window = _window_around(lesion)
        if window is None:
            return None
        mark = _zoomed(label.to(images.dtype), window)
        return _zoomed(images[number], window), (mark >= 0.5).to(label.dtype)
    place = _elsewhere(lesion, lesions[int(_draw() * len(lesions)), 0])
    covered = None if place is None else _covered(images, lesions, number, place)
    return None if covered is None else (covered, label)


def widened(labels: torch.Tensor) -> torch.Tensor:
    """Widen labels ``(B, 1, H, W)`` by a fortieth of the picture, where tissue still looks like the lesion."""
    rim = max(2, min(labels.shape[2:]) // 40)
    return max_pool2d(labels.float(), 2 * rim + 1, stride=1, padding=rim) > 0


def _draw(low: float = 0.0, high: float = 1.0) -> float:
    return low + (high - low) * float(torch.rand(()))


def _box(mask: torch.Tensor) -> tuple[int, int, int, int]:
    """Give first row, row after the last, first column and column after the last of a mask ``(H, W)``."""
    rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _window_beside(lesion: torch.Tensor, picture: torch.Tensor) -> Window | None:
    """Find a window with the picture's aspect ratio that misses the lesion and is brighter than a shadow."""
    rows, columns = lesion.shape
    for _ in range(TRIES):
        share = _draw(*WINDOW)
        height, width = int(share * rows), int(share * columns)
        top, left = int(_draw(0, rows - height + 1)), int(_draw(0, columns - width + 1))
        inside = slice(top, top + height), slice(left, left + width)
        if not bool(lesion[inside].any()) and picture[:, inside[0], inside[1]].mean() > picture.mean() / 2:
            return top, top + height, left, left + width
    return None


def _window_around(lesion: torch.Tensor) -> Window | None:
    """Find a window with the picture's aspect ratio that contains the lesion."""
    rows, columns = lesion.shape
    first, last, start, end = _box(lesion)
    share = _draw(*WINDOW)
    height, width = int(share * rows), int(share * columns)
    if last - first > height or end - start > width:
        return None
    top = int(_draw(max(0, last - height), min(first, rows - height) + 1))
    left = int(_draw(max(0, end - width), min(start, columns - width) + 1))
    return top, top + height, left, left + width


def _zoomed(picture: torch.Tensor, window: Window) -> torch.Tensor:
    """Enlarge a window of ``(C, H, W)`` to the size of the whole."""
    top, bottom, left, right = window
    size = picture.shape[1:]
    return interpolate(picture[None, :, top:bottom, left:right], size, mode="bilinear", align_corners=False)[0]


def _elsewhere(lesion: torch.Tensor, shape: torch.Tensor) -> torch.Tensor | None:
    """Place another lesion's shape where it does not touch this one; None without room."""
    if not bool(shape.any()):
        return None
    rows, columns = lesion.shape
    first, last, start, end = _box(shape)
    part = shape[first:last, start:end]
    for _ in range(TRIES):
        top = int(_draw(0, rows - part.shape[0] + 1))
        left = int(_draw(0, columns - part.shape[1] + 1))
        place = torch.zeros_like(lesion)
        place[top : top + part.shape[0], left : left + part.shape[1]] = part
        if not bool((place & lesion).any()):
            return place
    return None


def _covered(pictures: torch.Tensor, lesions: torch.Tensor, number: int, place: torch.Tensor) -> torch.Tensor | None:
    """Cover ``place`` with tissue from about the same depth; None if no picture has any like it."""
    if float(place.float().mean()) > LARGEST:
        return None
    first, last, start, end = _box(place)
    top, bottom = max(0, first - MARGIN), min(place.shape[0], last + MARGIN)
    left, right = max(0, start - MARGIN), min(place.shape[1], end + MARGIN)
    inside = place[top:bottom, left:right]
    ground = pictures[number, :, top:bottom, left:right]
    around = ground[:, ~inside]
    mean, deviation, most = around.mean(), around.std(), float(around.max())
    best, found = LIKE, None
    for attempt in range(2 * TRIES):
        donor = number if attempt < TRIES else int(_draw() * len(pictures))
        down = int(_draw(-1, 1) * DEPTH * place.shape[0])
        down, across = min(max(down, -top), place.shape[0] - bottom), int(_draw(-left, place.shape[1] - right + 1))
        rows, columns = slice(top + down, bottom + down), slice(left + across, right + across)
        sick = lesions[donor, 0, rows, columns]
        if bool((sick & inside).any()) or (donor == number and abs(across) < (right - left) // 3):
            continue
        tissue = pictures[donor, :, rows, columns]
        used = tissue[:, inside]
        unlike = float((used.mean() / mean).log().abs() + (used.std() / deviation).log().abs())
        if unlike < best and float(used.max()) < most + TEXT:
            best, found = unlike, (tissue, ~inside & ~sick)
    if found is None:
        return None
    result = pictures[number].clone()
    result[:, top:bottom, left:right] = _grafted(ground, found[0], inside, known=found[1])
    return result


def _grafted(ground: torch.Tensor, tissue: torch.Tensor, place: torch.Tensor, *, known: torch.Tensor) -> torch.Tensor:
    """Graft ``tissue`` onto ``place`` of ``ground``, its brightness matched where ``known``; all of one size."""
    share = place.to(ground.dtype)[None, None]
    around = known.to(ground.dtype)[None, None]
    levels = spread(torch.cat([ground, tissue])[None], around)[0].clamp(min=0.02).chunk(2)
    # A factor, no difference: grains of speckle are as strong as their tissue is bright.
    fitted = tissue * (levels[0] / levels[1]).clamp(1 / GAIN, GAIN)
    soft = avg_pool2d(share, 2 * (CELL // 2) + 1, stride=1, padding=CELL // 2, count_include_pad=False)[0]
    return (ground + soft * (fitted - ground)).clamp(0, 1)


def spread(values: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Extend values that are known in part smoothly to the whole map.

    Means over larger and larger cells fill in what smaller ones do not know (push and pull).

    Args:
        values: ``(1, C, H, W)``.
        known: ``(1, 1, H, W)``, from 0 to 1.

    Returns:
        ``(1, C, H, W)``.
    """
    sums, weights = avg_pool2d(values * known, CELL, ceil_mode=True), avg_pool2d(known, CELL, ceil_mode=True)
    levels = []
    while max(weights.shape[2:]) > 1:
        levels.append((sums, weights))
        sums = avg_pool2d(sums, 2, ceil_mode=True)
        weights = avg_pool2d(weights, 2, ceil_mode=True)
    smooth = sums / weights.clamp(min=1e-6)
    for sums, weights in reversed(levels):
        wider = interpolate(smooth, sums.shape[2:], mode="bilinear", align_corners=False)
        smooth = sums + (1 - weights) * wider
    return interpolate(smooth, values.shape[2:], mode="bilinear", align_corners=False)
