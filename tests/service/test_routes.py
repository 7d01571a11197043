"""Routes: the first that fits, and what of a result goes out."""

from __future__ import annotations

import pytest

pytest.importorskip("pydantic", reason="the service needs pydantic")
from pydicom import Dataset

from monai_lesion.service.configurations import DeliveryPart, RoutePart
from monai_lesion.service.routes import formats_of, route_of

ALL = ("dicom-seg", "dicom-sr", "sc")


def route(model, **rules):
    return RoutePart(model=model, to=[DeliveryPart(destination="archive")], **rules)


def header(modality="US", part="BREAST"):
    found = Dataset()
    found.Modality, found.BodyPartExamined = modality, part
    return found


ROUTES = [
    route("breast", calling=["A"], modality=["US"], body_part=["breast"]),
    route("thyroid", calling=["A", "B"], body_part=["THYROID", "NECK"]),
    route("any", calling=["B"]),
]


@pytest.mark.parametrize(
    ("sender", "part", "expected"),
    [
        ("A", "BREAST", "breast"),
        ("A", " Breast ", "breast"),
        ("B", "BREAST", "any"),
        ("B", "NECK", "thyroid"),
        ("A", "LIVER", None),
        ("C", "BREAST", None),
        ("A", None, None),
        ("", "BREAST", "breast"),  # an image of an older queue, whose sender nobody noted
    ],
)
def test_the_first_route_that_fits_takes_an_image(sender, part, expected):
    found = route_of(ROUTES, sender, header(part=part))
    assert (found and found.model) == expected


def test_another_modality_does_not_fit():
    assert route_of(ROUTES[:1], "A", header("OT")) is None


@pytest.mark.parametrize(
    ("rules", "decision", "trust", "found", "expected"),
    [
        ({}, "lesion", 0.9, True, ALL),
        ({}, "nothing found", None, False, ALL),
        ({}, None, None, True, ALL),
        ({"accept": ["lesion"]}, "doubtful", 0.9, True, ("dicom-sr",)),
        ({"accept": ["lesion"]}, "nothing found", None, False, ("dicom-sr",)),
        ({"least_trust": 0.5}, "lesion", 0.4, True, ("dicom-sr",)),
        ({"least_trust": 0.5}, "lesion", 0.5, True, ALL),
        ({"least_trust": 0.5}, "nothing found", None, False, ALL),
        ({"formats": ["dicom-seg"]}, "lesion", 0.9, True, ("dicom-seg",)),
        ({"formats": ["sc"]}, "nothing found", None, False, ("sc", "dicom-sr")),
        ({"formats": ["sc"]}, None, None, False, ("sc", "dicom-sr")),
    ],
)
def test_what_is_not_accepted_goes_out_as_a_report_and_nothing_is_silent(rules, decision, trust, found, expected):
    delivery = DeliveryPart(destination="archive", **rules)
    assert formats_of(delivery, decision=decision, trust=trust, found=found) == expected
