"""What annotators have corrected in MONAI Label, taken back into a manifest."""

from __future__ import annotations

import posixpath
from pathlib import Path

from monai_lesion.datasets.drawings import Drawing
from monai_lesion.datasets.patterns import name_by_stem, name_files
from monai_lesion.errors import InputError
from monai_lesion.files import read_object

DATASTORE = "datastore_v2.json"


def corrected(studies: str | Path, images: str | None = None, *, tag: str = "final") -> list[Drawing]:
    """List the images of a MONAI Label server's folder that have a label, with their labels.

    Args:
        studies: the folder of images that the server was started with, or its cache of a DICOMweb archive.
        images: pattern that says what the images' names mean; None takes each for a case of its own, see
            :mod:`monai_lesion.datasets.patterns`.
        tag: the labels to take: ``"final"`` for what an annotator saved, ``"original"`` for what a batch segmented.

    Returns:
        One for each labelled image; paths start from ``studies``.

    Raises:
        InputError: when the folder is no server's, or holds no label with this tag.
    """
    root = Path(studies)
    rule = "must be the file that a MONAI Label server keeps in its folder of images"
    content = read_object(root / DATASTORE, rule)
    labels: dict[str, str] = {}
    try:
        for name, known in content["objects"].items():
            if (label := known["labels"].get(tag)) is not None:
                image = posixpath.normpath(posixpath.join(content["images_dir"], name + known["image"]["ext"]))
                labels[image] = posixpath.normpath(posixpath.join(content["labels_dir"], tag, name + label["ext"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(root / DATASTORE, rule, got=f"one without {error}") from error
    if not labels:
        fix = "Save a label in the viewer first"
        raise InputError(root, f'must hold labels with the tag "{tag}"', got="none", fix=fix)
    named = name_files(sorted(labels), images) if images else name_by_stem(sorted(labels), folder=root)
    if not named:
        raise InputError(root, f"must hold labelled images named {images}", got=min(labels))
    return [Drawing(each, (labels[each.path],)) for each in named]
