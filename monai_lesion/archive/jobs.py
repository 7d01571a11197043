"""What a run does, as its folder says: sources, network and choices. A run goes on only as what it was."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_lesion._version import NOTICE, __version__
from monai_lesion.archive.schemas import VERSION
from monai_lesion.errors import InputError
from monai_lesion.files import read_object, replacing

if TYPE_CHECKING:
    from monai_lesion.pacs.archives import Archive
    from monai_lesion.segmentation.lesion_segmenters import LesionSegmenter

FILE = "run.json"
FIX = "Name another folder, or repeat the options of the first run"


@dataclass(frozen=True)
class Network:
    """Which network runs, and on what; a folder with ``model.json``, for no worker imports PyTorch.

    Args:
        model: name of a network of the package, or a model folder.
        runtime: ``onnx`` or ``openvino``; None for the folder's own.
        crop: as of :class:`monai_lesion.runtimes.executions.Execution`.
        group: as of the same.
    """

    model: str
    runtime: str | None = None
    crop: bool = True
    group: str | None = None

    def open(self) -> LesionSegmenter:
        """Open it with one thread: a worker has one core.

        Raises:
            InputError: when the folder is damaged or the runtime is not one of the two.
        """
        from monai_lesion.models.folders import read_model
        from monai_lesion.models.presets import load_preset, preset_names
        from monai_lesion.segmentation.lesion_segmenters import Execution, LesionSegmenter

        if self.runtime not in (None, "onnx", "openvino"):
            raise InputError("--runtime", "must be onnx or openvino", got=self.runtime)
        preset = self.model in preset_names() and not Path(self.model).is_dir()
        folder = load_preset(self.model) if preset else read_model(self.model)
        if folder.description.format == "torchscript":
            fix = "Export the network again: monai-lesion export"
            raise InputError(self.model, "must not need PyTorch", got="TorchScript", fix=fix)
        chosen = Execution(runtime=self.runtime, crop=self.crop, group=self.group, threads=1)
        return LesionSegmenter(folder, execution=chosen)


@dataclass(frozen=True)
class Job:
    """What every worker is told.

    Args:
        output: folder of the results, the same on every machine.
        run: identity of the run.
        network: which network.
        stride: takes every so many frames of a cine.
        identifiers: whether rows name patients.
        credentials: file with the log-in of a DICOMweb archive; None reads the environment.
        weights_id: of the network that the run began with.
        token: changes with every start, so that a worker knows what it was itself that died.
    """

    output: str
    run: str
    network: Network
    stride: int = 1
    identifiers: bool = False
    credentials: str | None = None
    weights_id: str = ""
    token: str = ""

    def archive(self, url: str) -> Archive:
        """Connect to DICOMweb services.

        Raises:
            InputError: when the credentials are wrong or the extra ``dicom`` is missing.
        """
        from monai_lesion.pacs.archives import Archive
        from monai_lesion.pacs.credentials import find_credentials

        return Archive(url, find_credentials(None if self.credentials is None else Path(self.credentials)))


@dataclass(frozen=True)
class Record:
    """The file ``run.json`` of a folder of results.

    Args:
        content: the object.
        path: the file.
    """

    content: Mapping[str, Any]
    path: Path

    @cached_property
    def run(self) -> str:
        """Identity of the run."""
        return str(self.content["run"])

    @property
    def network(self) -> Network:
        """The network that it was told to use."""
        return Network(**self.content["network"])


def describe(segmenter: LesionSegmenter) -> dict[str, Any]:
    """Everything about a network that decides a row."""
    algorithm, trust = segmenter.algorithm, segmenter.trust
    known = {**asdict(algorithm), "settings": dict(algorithm.settings), "crop": segmenter.crop}
    known["calibration"] = None if trust is None else dict(trust.calibration)
    known["group"] = None if trust is None else trust.group
    return json.loads(json.dumps(known))  # type: ignore[no-any-return]


def read_record(output: Path) -> Record | None:
    """What a folder of results is of; None for a folder that is absent or empty.

    Raises:
        InputError: when it holds something else, or results of another version.
    """
    path = output / FILE
    if not path.is_file():
        if output.is_dir() and any(not each.name.startswith(".") for each in output.iterdir()):
            fix = "Name an empty folder, or one of an earlier run"
            raise InputError(output, f"must be empty or hold {FILE}", got="other files", fix=fix)
        if output.exists() and not output.is_dir():
            raise InputError(output, "must be a folder", got="a file")
        return None
    content = read_object(path)
    version = content.get("schema")
    if version != VERSION:
        fix = "Read it with the version that wrote it, and name another folder"
        raise InputError(path, f"must be of results with schema {VERSION}", got=version, fix=fix)
    if not {"run", "network", "model", "choices"} <= content.keys():
        raise InputError(path, "must say run, network, model and choices", got=", ".join(content), fix=FIX)
    return Record(content, path)


def begin(output: Path, network: Network, model: Mapping[str, Any], choices: Mapping[str, Any]) -> Record:
    """Write ``run.json``, or hold what is asked for to the one that is there.

    Args:
        output: folder of the results.
        network: what was asked for.
        model: from :func:`describe`.
        choices: sources and options that decide which rows there are.

    Raises:
        InputError: when the folder is of another network, or of other choices; names the first that differs.
    """
    known = read_record(output)
    if known is None:
        content = {
            "schema": VERSION,
            "run": uuid.uuid4().hex,
            "network": asdict(network),
            "model": dict(model),
            "choices": dict(choices),
            "software": f"monai_lesion {__version__}",
            "notice": NOTICE,
        }
        with replacing(output / FILE) as partial:
            partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        return Record(content, output / FILE)
    for what, asked in (("model", model), ("choices", choices)):
        for key, (first, now) in _differences(known.content[what], asked).items():
            rule = f"{key} must be {_short(first)}, as when the run began"
            raise InputError(known.path, rule, got=_short(now), fix=FIX)
    return known


def _differences(first: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> dict[str, tuple[Any, Any]]:
    found: dict[str, tuple[Any, Any]] = {}
    for key in {**first, **now}:
        one, other = first.get(key), now.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found |= _differences(one, other, f"{prefix}{key} ")
        elif one != other:
            found[f"{prefix}{key}"] = one, other
    return found


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
