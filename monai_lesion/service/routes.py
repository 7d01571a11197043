"""Which model an image goes through, and what of its results goes where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from monai_lesion.dicom.sources import value_of
from monai_lesion.service.configurations import DeliveryPart, RoutePart

if TYPE_CHECKING:
    from pydicom import Dataset


def route_of(routes: Sequence[RoutePart], sender: str, header: Dataset) -> RoutePart | None:
    """The first route that fits an image; None when there is none.

    Args:
        routes: of the configuration.
        sender: AE title or poller; empty for an image of an older queue, which fits any.
        header: of the image.
    """
    return next((each for each in routes if fits(each, sender, header)), None)


def fits(route: RoutePart, sender: str, header: Dataset) -> bool:
    """Whether a route takes an image; names are compared without regard to case and spaces around them."""
    return (
        (not route.calling or not sender or sender in route.calling)
        and _among(route.modality, value_of(header, "Modality"))
        and _among(route.body_part, value_of(header, "BodyPartExamined"))
    )


def formats_of(delivery: DeliveryPart, *, decision: str | None, trust: float | None, found: bool) -> tuple[str, ...]:
    """What a destination is sent of a result: the report alone where the rules do not accept it, never nothing.

    Args:
        delivery: the rules.
        decision: of the result; None without a calibration.
        trust: of the result; None without a calibration or a lesion.
        found: whether there is a lesion.

    Example:
        >>> rules = DeliveryPart(destination="archive", formats=["dicom-seg"], accept=["lesion", "nothing found"])
        >>> formats_of(rules, decision="lesion", trust=0.9, found=True)
        ('dicom-seg',)
        >>> formats_of(rules, decision="doubtful", trust=0.3, found=True)
        ('dicom-sr',)
        >>> formats_of(rules, decision="nothing found", trust=None, found=False)
        ('dicom-seg', 'dicom-sr')
    """
    refused = decision is not None and decision not in delivery.accept
    if refused or (trust is not None and trust < delivery.least_trust):
        return ("dicom-sr",)
    kinds = tuple(kind for kind in ("dicom-seg", "dicom-sr", "sc") if kind in delivery.formats)
    return kinds if found or "dicom-sr" in kinds else (*kinds, "dicom-sr")


def _among(wanted: Sequence[str], value: Any) -> bool:
    return not wanted or str(value or "").strip().casefold() in {each.strip().casefold() for each in wanted}
