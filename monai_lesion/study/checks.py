"""Find what would stop a study half-way, before anything is trained."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_lesion.errors import InputError, root_cause
from monai_lesion.files import file_sha256, read_object
from monai_lesion.networks.recognition import without_pretraining
from monai_lesion.study.records import write_json
from monai_lesion.study.specifications import Study
from monai_lesion.study.trials import Place, overlay

STUDY = "study.json"


def check_networks(study: Study) -> None:
    """Build every network, without memory for its weights.

    Raises:
        InputError: names the network and what is wrong with its arguments.
    """
    import torch

    from monai_lesion.networks.definitions import build_network

    for entry in study.entries:
        try:
            with torch.device("meta"):
                build_network(without_pretraining(entry.network_def), any_class=True)
        except Exception as error:  # the class of somebody else's network may raise anything
            cause = root_cause(error)
            raise InputError(f"{study.name}, {entry.name}", "must be a network", got=cause) from error


def check_overrides(study: Study, bundle: Path) -> None:
    """Check that each override changes something of the bundle's ``train.json``.

    Raises:
        InputError: names the key and the most similar one.
    """
    from monai.bundle import ConfigParser

    train = bundle / "configs" / "train.json"
    if not train.is_file():
        fix = "Name another with --bundle; without it, the package's own bundle is used"
        raise InputError(bundle, "must be the folder of the bundle", got="a folder without configs/train.json", fix=fix)
    parser = ConfigParser()
    overlays = [overlay(bundle, name) for name in study.recipe]
    for file in overlays:
        if not file.is_file():
            known = ", ".join(sorted(each.stem for each in file.parent.glob("*.json"))) or "none"
            raise InputError(f"{study.name}, recipe", f"must be overlays of {bundle}: {known}", got=file.stem)
    parser.read_config([str(train), *map(str, overlays)])
    for where, overrides in [(study.name, study.overrides)] + [
        (f"{study.name}, {entry.name}", entry.overrides) for entry in study.entries
    ]:
        _check_known(parser.get(), overrides, f"{where}, overrides")


def _check_known(config: Mapping[str, Any], overrides: Mapping[str, Any], where: str) -> None:
    from monai.bundle import ConfigParser

    from monai_lesion.training.config_keys import nearest, unknown_keys

    changed = ConfigParser(copy.deepcopy(dict(config)))
    for key, value in overrides.items():
        known: list[str] = []
        try:
            changed.update({key: value})
        except (KeyError, ValueError, TypeError, AttributeError):
            unknown = True
        else:
            found = {each.replace("::", "#"): names for each, names in unknown_keys(changed.get())}
            unknown = any(f"{key}#".startswith(f"{each}#") for each in found)
            known = next((names for each, names in found.items() if f"{key}#".startswith(f"{each}#")), [])
        if unknown:
            close = nearest(key, known)
            fix = f"Did you mean {close!r}?" if close else "Keys are listed in docs/reference/bundle.md"
            raise InputError(where, "must be keys of train.json", got=repr(key), fix=fix)


def check_resolution(study: Study) -> None:
    """Check that all networks get pictures of one size, because the report refuses to compare others.

    Raises:
        InputError: names two that differ.
    """
    sizes = [(entry.name, entry.overrides.get("spatial_size")) for entry in study.entries]
    different = [pair for pair in sizes if pair[1] != sizes[0][1]]
    if different:
        got = " and ".join(f"{size or 'the same as the study'} of {name}" for name, size in (sizes[0], different[0]))
        fix = "Make a study of each"
        raise InputError(f"{study.name}, spatial_size", "must be one in a study", got=got, fix=fix)


def check_data(study: Study, place: Place, progress: Any = iter) -> None:
    """Check the manifest and every file of its three splits.

    Raises:
        ManifestError: when ``load_manifest`` fails or a split is missing.
        InputError: when the training split is too small for a network.
    """
    from monai_lesion.datasets.manifests import load_manifest
    from monai_lesion.datasets.splits import DEALT

    loaded = load_manifest(place.manifest, place.dataset_dir, splits=DEALT, progress=progress)
    for split in DEALT:
        loaded.entries(split)
    images = len(loaded.splits["training"])
    for entry in study.entries:
        overrides = {**study.overrides, **entry.overrides}
        batch = overrides.get("batch_size", 8)
        drops = overrides.get("train#dataloader#drop_last", False)
        if drops and images < batch:
            got = f"{images} images"
            raise InputError(f"{study.name}, {entry.name}", f"needs a batch of {batch} training images", got=got)
        if "DeepLabV3Plus" in str(entry.network_def.get("_target_")) and not drops and images % batch == 1:
            fix = 'Set the override "train#dataloader#drop_last": true'
            got = f"{images} images in batches of {batch}"
            raise InputError(f"{study.name}, {entry.name}", "cannot train on one image", got=got, fix=fix)


def claim_output(study: Study, place: Place) -> None:
    """Write the study into its output folder, or check that the same one is there.

    Networks and seeds may be added to a study; what its finished trials were made with may not change.

    Raises:
        InputError: when the folder holds another study, another manifest's, or other files.
    """
    file = place.output / STUDY
    content: dict[str, Any] = {"study": study.content(), "manifest_file_sha256": file_sha256(place.manifest)}
    if place.output.exists() and not place.output.is_dir():
        raise InputError(place.output, "must be a folder", got="a file")
    if not file.is_file():
        if place.output.is_dir() and any(place.output.iterdir()):
            fix = "Choose a new --output"
            raise InputError(place.output, "must be new, empty or a study's", got="other files", fix=fix)
    else:
        try:
            earlier = read_object(file)
            differences = _differences(earlier["study"], content["study"])
        except (ValueError, KeyError, TypeError) as error:
            fix = "Choose a new --output"
            raise InputError(file, "must be the study of this folder", got=error, fix=fix) from error
        # The second key is that of studies begun until November 2026, which go on.
        if earlier.get("manifest_file_sha256", earlier.get("manifest_sha256")) != content["manifest_file_sha256"]:
            differences.append("the manifest")
        if differences:
            got = f"another: {', '.join(differences)} differ" + ("s" if len(differences) == 1 else "")
            raise InputError(place.output, "must hold the same study", got=got, fix="Choose a new --output")
        kept = {entry["name"] for entry in content["study"]["networks"]}
        content["study"]["networks"] += [e for e in earlier["study"]["networks"] if e["name"] not in kept]
    write_json(file, content)


def _differences(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> list[str]:
    found = [key for key in ("name", "overrides") if earlier[key] != later[key]]
    found += ["recipe"] if earlier.get("recipe", []) != later["recipe"] else []
    known = {entry["name"]: entry for entry in earlier["networks"]}
    for entry in later["networks"]:
        other = known.get(entry["name"], entry)
        keys = ("network", "weight_decays", "tuning_seeds", "overrides")
        found += [f"{key} of {entry['name']}" for key in keys if other[key] != entry[key]]
    return found
