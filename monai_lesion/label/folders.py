"""The folder that a MONAI Label server starts from: a bundle, its weights, and one line that names the app."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from monai_lesion._version import NOTICE, __version__
from monai_lesion.errors import InputError, root_cause
from monai_lesion.files import read_object, replacing_folder
from monai_lesion.models.bundles import refuse_links
from monai_lesion.models.descriptions import FILE
from monai_lesion.models.folders import read_model

CONFIGS = ("inference.json", "train.json", "metadata.json")  # all that MONAI Label reads
CALIBRATION = "calibration.json"  # beside model.pt: how far its masks are to be believed
LEFT = ("models", "eval", "__pycache__", ".*")  # of a bundle: other weights, logs, caches

_MAIN = '''"""A MONAI Label app, made by monai-lesion {version}: start it as README.md says."""

from monai_lesion.label.server.apps import LesionApp

__all__ = ["LesionApp"]
'''

_README = """# MONAI Label app with the bundle {name}

Made by monai-lesion {version}. Start it in an environment with MONAI Label and monai-lesion:

```
{command}
```

Training on the server replaces `model/{name}/models/model.pt`. The server refuses to start when these weights and
`network_def` of `model/{name}/configs` do not belong together. {notice}.
"""


def write_label_app(
    output: str | Path,
    bundle: str | Path,
    *,
    weights: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Path:
    """Write an app folder, whole or not at all.

    ::

        output/main.py  README.md  model/lighter_unet/configs/...  model/lighter_unet/models/model.pt  calibration.json

    The calibration is that of the model folder in which the weights lie; without one, masks have no decision.

    Args:
        output: new or empty folder.
        bundle: folder of the bundle; it is copied, because the server's training overwrites the weights.
        weights: file with the weights; None takes ``models/model.pt`` of the bundle.
        overrides: config values to write into the copy, such as ``{"network_def#group_size": 16}``. Network and
            input size come from the file of the weights if it gives them.

    Raises:
        InputError: when the folder is in use or inside the bundle, or the bundle cannot be served.
        CheckpointError: when the weights are missing or belong to another network.
    """
    from monai_lesion.networks.checkpoints import load_weights
    from monai_lesion.networks.weight_files import read_weights, save_state

    target, root = Path(output).absolute(), Path(bundle).resolve()
    refuse_links(root, LEFT)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(
            target, "must be a new or empty folder", got="a folder with files in it", fix="Choose another --output"
        )
    file = Path(weights) if weights is not None else root / "models" / "model.pt"
    overrides = {**_as_trained(root, file), **(overrides or {})}
    configs = _configs(root, overrides)
    if target.resolve().is_relative_to(root):
        raise InputError(target, "must lie outside the bundle, which is copied into it", got=root, fix="Name another")
    load_weights(_network(root, configs), file)
    _check_size(configs["inference.json"], file)
    with replacing_folder(target) as partial:
        copy = partial / "model" / root.name
        shutil.copytree(root, copy, ignore=shutil.ignore_patterns(*LEFT))
        if overrides:
            for name in ("inference.json", "train.json"):
                text = json.dumps(configs[name], indent=4, ensure_ascii=False)
                (copy / "configs" / name).write_text(text + "\n", encoding="utf-8")
        (copy / "models").mkdir()
        save_state(read_weights(file).to_dict(), copy / "models" / "model.pt")
        if (file.parent / FILE).is_file() and (known := read_model(file.parent).description.calibration) is not None:
            (copy / "models" / CALIBRATION).write_text(json.dumps(known) + "\n", encoding="utf-8")
        (partial / "main.py").write_text(_MAIN.format(version=__version__), encoding="utf-8")
        readme = _README.format(name=root.name, version=__version__, notice=NOTICE, command=start_command(target))
        (partial / "README.md").write_text(readme, encoding="utf-8")
    return target


def _as_trained(root: Path, file: Path) -> dict[str, Any]:
    """Find what the file of the weights says about network and input size, where the configs differ."""
    from monai_lesion.models.trained_networks import network_def_of
    from monai_lesion.networks.weight_files import read_weights

    if not file.is_file():
        return {}
    size, config = read_weights(file).input_size, _configs(root, {})["inference.json"]
    told = {"network_def": network_def_of(file), "spatial_size": size and list(size)}
    return {name: value for name, value in told.items() if value is not None and value != config.get(name)}


def _check_size(config: Mapping[str, Any], file: Path) -> None:
    from monai_lesion.models.trained_networks import input_size_for

    size = config.get("spatial_size")
    if isinstance(size, list) and all(isinstance(side, int) for side in size):
        input_size_for(file, size, named=True)


def start_command(app: str | Path, studies: str = "STUDIES", *, port: int = 8000) -> str:
    """Make the command that starts a server, reachable from this machine only.

    Args:
        app: the app folder.
        studies: folder of images, or the address of a DICOMweb server.
        port: port of the server.

    Example:
        >>> start_command("/srv/app", "/data/images")
        'python -m monailabel.main start_server --app /srv/app --studies /data/images --host 127.0.0.1 --port 8000'
    """
    where = ["--app", str(app), "--studies", studies, "--host", "127.0.0.1", "--port", str(port)]
    # MONAI Label's own program is a shell script that splits names with blanks.
    return shlex.join(["python", "-m", "monailabel.main", "start_server", *where])


def served_bundles(app_dir: str | Path, names: Sequence[str] = ()) -> dict[str, Path]:
    """Find the bundles of an app folder by name, and check that their weights fit their networks.

    MONAI Label loads weights without complaint when names differ, and then returns random masks.

    Args:
        app_dir: the app folder.
        names: bundles to serve; empty for all.

    Raises:
        InputError: when there are no bundles, or one of the names is unknown.
        CheckpointError: when the weights are missing or belong to another network.
    """
    from monai_lesion.networks.checkpoints import load_weights

    folder = Path(app_dir) / "model"
    found = {file.parents[1].name: file.parents[1] for file in sorted(folder.glob("*/configs/inference.json"))}
    unknown = [name for name in names if name not in found]
    if unknown or not found:
        got = ", ".join(unknown) or "none"
        raise InputError(folder, f"must hold the bundle to serve, has {', '.join(found) or 'no bundle'}", got=got)
    chosen = {name: root for name, root in found.items() if not names or name in names}
    for root in chosen.values():
        load_weights(_network(root, _configs(root, {})), root / "models" / "model.pt")
    return chosen


def _configs(root: Path, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The configs by file name, with the overrides set."""
    contents: dict[str, Any] = {}
    for name in CONFIGS:
        file = root / "configs" / name
        if not file.is_file():
            raise InputError(root, f"must be a bundle with configs/{name}", got="no such file")
        contents[name] = read_object(file)
    for key, value in overrides.items():
        place = key.replace("::", "#").split("#")
        if place[0] not in contents["inference.json"]:
            known = ", ".join(name for name in contents["inference.json"] if not name.startswith("_"))
            raise InputError(key, f"must be a key of inference.json: {known}", got=f"{key}={value}")
        for name in ("inference.json", "train.json"):
            if place[0] in contents[name]:
                _set(contents[name], place, value)
    return contents


def _set(config: Any, place: Sequence[str], value: Any) -> None:
    """Set one value; MONAI's ConfigParser would also rewrite every reference of the config."""
    for part in place[:-1]:
        config = config.get(part) if isinstance(config, dict) else None
    if not isinstance(config, dict):
        raise InputError("#".join(place), "must lead to a value of the configs", got=value)
    config[place[-1]] = value


def _network(root: Path, configs: Mapping[str, Any]) -> Any:
    """The one network that both configs describe."""
    from monai.bundle import ConfigParser

    served, trained = (configs[name].get("network_def") for name in ("inference.json", "train.json"))
    if served != trained:
        rule = "inference.json and train.json must have the same network_def, because the server trains what it serves"
        raise InputError(root / "configs", rule, got=f"{served} and {trained}")
    try:
        return ConfigParser(deepcopy(configs["inference.json"])).get_parsed_content("network_def")
    except Exception as error:  # MONAI wraps whatever a component raises
        raise InputError(root / "configs", "must describe a network", got=root_cause(error)) from error
