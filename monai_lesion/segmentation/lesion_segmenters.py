"""The main class of the library: from a picture to a mask of the same size; imports PyTorch only to run it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_lesion._version import __version__
from monai_lesion.dicom.identity import Algorithm, short_name
from monai_lesion.errors import InputError
from monai_lesion.models.descriptions import FILE, WEIGHTS
from monai_lesion.models.folders import ModelFolder, WholeModel, open_folder, open_same, read_model
from monai_lesion.models.presets import DEFAULT, load_preset, preset_names
from monai_lesion.pipeline.operations import clean
from monai_lesion.pipeline.steps import Steps
from monai_lesion.runtimes.executions import Execution
from monai_lesion.runtimes.interfaces import Runtime
from monai_lesion.segmentation.segmenters import Finding, Segmenter, Source, check_finite
from monai_lesion.segmentation.trust import UNCALIBRATED, Trust
from monai_lesion.segmentation.views import VIEWS, mirrored, over_views

if TYPE_CHECKING:
    from torch import nn

    from monai_lesion.images.reading import UltrasoundImage

__all__ = ["Execution", "LesionSegmenter", "Source", "Steps"]

logger = logging.getLogger(__name__)


class LesionSegmenter(Segmenter):
    """Segment lesions in ultrasound pictures.

    ::

        -- read -- (crop) -- steps.before -- network -- steps.after -- mask

    Args:
        network: a PyTorch module that turns ``(B, 3, H, W)`` into logits ``(B, 1, H, W)``, or a model folder as
            :func:`~monai_lesion.models.folders.read_model` returns it.
        steps: what happens before and after the network; None takes the paper's steps, or those of the model folder.
        bundle_version: version of the bundle that the network came from, for DICOM objects.
        network_def: class and arguments of the network, for model folders written from it.
        name: name of the model, for results; None takes that of the model folder.
        execution: how to run the network. Runtime None runs a module as it was trained, in PyTorch and float32, so that
            the mask equals the bundle's bit by bit; it runs a model folder in ONNX Runtime.
        **options: the fields of ``execution``, given by name instead: ``device``, ``runtime``, ``precision``, ``crop``,
            ``views``, ``calibration`` and ``group``.

    Attributes:
        steps: what happens before and after the network.
        folder: the model folder; None for a module.
        trust: what the calibration of the model folder says of each result; None without one.
        network_def: class and arguments of the network, if they are known.

    Raises:
        InputError: for a runtime that cannot be used, or a network of another kind.

    Example:
        >>> import numpy as np
        >>> from monai_lesion.networks import LighterUNet
        >>> segmenter = LesionSegmenter(LighterUNet(group_size=1))
        >>> segmenter(np.zeros((100, 150), np.uint8)).mask.shape
        (100, 150)
    """

    def __init__(
        self,
        network: nn.Module | ModelFolder,
        steps: Steps | None = None,
        *,
        bundle_version: str = "",
        network_def: Mapping[str, Any] | None = None,
        name: str | None = None,
        execution: Execution | None = None,
        **options: Any,
    ) -> None:
        chosen = Execution.of(execution, options)
        self.crop, self.views = chosen.crop, chosen.views
        self._network: nn.Module | None = None
        self.folder: ModelFolder | None = None
        self.network_def = network_def
        self._whole: WholeModel | None = None
        if isinstance(network, ModelFolder):
            if steps is not None:
                raise InputError("steps", "cannot be changed for a model folder", got=steps)
            self.folder, known = network, network.description
            self.network_def = known.network_def
            self.steps = known.steps
            identity = name or known.name, known.network, known.weights_id, known.bundle_version
            self.runtime = self._open_folder(network, chosen)
        else:
            from monai_lesion.networks.checkpoints import describe
            from monai_lesion.networks.identity import weights_id

            self._network, self.steps = network.eval(), steps or Steps()
            state = network.state_dict()
            identity = name or "", describe(state), weights_id(state), bundle_version
            self.runtime = self._open_module(network, chosen, identity[2])
        label = self.runtime.label if self._whole is None else self._whole.label
        self.settings = {
            **({"model": identity[0]} if identity[0] else {}),
            **{key: str(value) for key, value in self.steps.to_dict().items()},
            "runtime": label,
            **({"views": str(self.views)} if self.views > 1 else {}),
        }
        self._algorithm = Algorithm(
            short_name(identity[1]), __version__, identity[2], bundle_version=identity[3], settings=self.settings
        )
        logger.info("network: %s", self)
        self.trust = self._calibrated(chosen)
        if self.trust is not None:  # it decides where a mask is taken back
            self.settings["calibration"] = self.trust.identity
            self._algorithm = replace(self._algorithm, settings=dict(self.settings))

    def __repr__(self) -> str:
        return f"<{self}>"

    def __str__(self) -> str:
        """Name, network, weights, runtime and input size, for the log."""
        algorithm, size = self._algorithm, " x ".join(map(str, self.steps.input_size))
        name = f"{self.settings['model']}, " if "model" in self.settings else ""
        where = f", from {self.folder.path}" if self.folder is not None else ""
        return (
            f"{name}{algorithm.name}, weights {algorithm.weights[:12]}, {self.settings['runtime']}, input {size}{where}"
        )

    def _calibrated(self, execution: Execution) -> Trust | None:
        """Take the calibration of the model folder, and say so in one line."""
        calibration = None if self.folder is None else self.folder.description.calibration
        computed = self.settings["runtime"].split(" ")[-1]
        if calibration is None:
            why = self.untrusted
        elif computed == "int8" and (self.folder is None or self.folder.description.precision != "int8"):
            why = "the model was calibrated in fp32, and runs in int8"
        elif execution.views > 1:
            why = f"the model was calibrated on single views, and averages {execution.views}"
        else:
            trust = Trust(calibration, execution.group)
            logger.info("trust: %s", trust)
            return trust
        if execution.group is not None:
            raise InputError("group", "needs a model with a calibration", got=why)
        self.untrusted = why
        logger.info("trust: %s, for %s", UNCALIBRATED, why)
        return None

    def _open_folder(self, folder: ModelFolder, execution: Execution) -> Any:
        if folder.description.end_to_end:
            self._whole = WholeModel(folder, execution)
            return None
        if execution.folder is not None:
            return open_same(execution.folder, folder.description.weights_id, execution)
        return open_folder(folder, execution)

    def _open_module(self, network: nn.Module, execution: Execution, weights: str) -> Runtime:
        from monai_lesion.pipeline.graphs import takes_rgb
        from monai_lesion.runtimes.factories import open_runtime
        from monai_lesion.runtimes.torch_runtimes import PlainRuntime

        if execution.folder is not None:
            return open_same(execution.folder, weights, execution)
        rgb = takes_rgb(network, self.steps.channel_order).eval()
        if execution.runtime is None:
            if execution.precision is not None:
                fix = 'For example runtime="openvino"'
                raise InputError("precision", "needs a runtime", got=execution.precision, fix=fix)
            return PlainRuntime(rgb, device=execution.device)
        return open_runtime(rgb, self.steps, execution)

    @property
    def algorithm(self) -> Algorithm:
        """Network, version and the identity of the weights, for results."""
        return self._algorithm

    @property
    def network(self) -> nn.Module:
        """The network in PyTorch, in evaluation mode; for a model folder it is loaded on first use.

        Raises:
            InputError: when the model folder holds no weights for PyTorch.
        """
        if self._network is None and self.folder is not None:
            self._network = self.folder.network()
        return self._network  # type: ignore[return-value]

    @classmethod
    def from_model(cls, folder: str | Path, *, execution: Execution | None = None, **options: Any) -> LesionSegmenter:
        """Open a model folder, as training and ``monai-lesion export`` write it: any folder with ``model.json``.

        Args:
            folder: the folder.
            execution: see the class.
            **options: see the class.

        Raises:
            InputError: when the folder is damaged or of another version, or the runtime cannot be used.
        """
        return cls(read_model(folder), execution=Execution.of(execution, options))

    @classmethod
    def from_preset(cls, name: str = DEFAULT, *, execution: Execution | None = None, **options: Any) -> LesionSegmenter:
        """Open a trained network that comes with the package; read its model card before you use it.

        Args:
            name: one of :func:`monai_lesion.models.presets.preset_names`.
            execution: see the class.
            **options: see the class.

        Raises:
            InputError: for an unknown name, or a runtime that cannot be used.
        """
        return cls(load_preset(name), execution=Execution.of(execution, options))

    @classmethod
    def from_bundle(
        cls,
        bundle: str | Path,
        *,
        weights: str | Path | None = None,
        overrides: Mapping[str, Any] | None = None,
        execution: Execution | None = None,
        **options: Any,
    ) -> Segmenter:
        """Open the network of a bundle, with the bundle's steps before and after it. A bundle is code, which is run.

        The model folder that a training leaves in ``models`` is opened as it is. Where there is none, where its
        weights have changed since, or where ``weights`` or ``overrides`` ask for others, the network is converted for
        ONNX Runtime now, in memory, with PyTorch. Network and input size are those that the weights were trained with.

        Args:
            bundle: folder of the bundle, a model folder, or the folder of a training's ``model.pt``.
            weights: file of the weights; None takes ``models/model.pt``.
            overrides: config values, such as ``{"threshold": 0.4}``; they must not contradict the weights.
            execution: as of the class; ``code=False`` runs nothing that the folder brings, see
                :mod:`monai_lesion.models.inert_bundles`.
            **options: as of the class.

        Raises:
            InputError: when the folder is no bundle, an override is unknown to the network, or the runtime cannot be
                used.
            CheckpointError: when the weights are missing, another network's, or of another input size.
        """
        chosen, root = Execution.of(execution, options), Path(bundle)
        if weights is None and not overrides:
            for folder in (root, root / "models"):
                if (folder / FILE).is_file():
                    model = _whole(folder)
                    if model is not None:
                        return cls(model, execution=chosen)
        if not chosen.code:
            return _inert(cls, root, weights, overrides, chosen)
        return _converted(cls, root, weights, overrides, chosen)

    @classmethod
    def from_published(cls, path: str | Path, *, execution: Execution | None = None, **options: Any) -> LesionSegmenter:
        """Open a checkpoint that the paper's authors released; it gets BGR, as in its training.

        Args:
            path: the checkpoint.
            execution: see the class.
            **options: see the class.

        Raises:
            CheckpointError: when the file is damaged or hostile, or belongs to another network.
        """
        from monai_lesion.networks.published import load_published

        network = load_published(path)
        steps = Steps(channel_order=str(network.channel_order))
        return cls(network, steps, execution=Execution.of(execution, options))

    def find(self, image: UltrasoundImage) -> Finding:
        """Find mask, probability and scores, upright and in the picture's size."""
        if self._whole is not None:
            found = Finding(*self._whole(image.pixels)) if self.views == 1 else self._whole_views(image.pixels)
            for output in (found.probability, found.scores):
                check_finite(output, self)
            return found
        logits, scores = over_views(self.runtime.outputs, self.steps.before(image.pixels), self.views)
        for output in (logits, scores):
            check_finite(output, self)
        rows, columns = image.pixels.shape[:2]
        return Finding(*self.steps.after(logits, (rows, columns)), scores)

    def _whole_views(self, pixels: Any) -> Finding:
        """Average an end-to-end model over mirrored pictures, at the picture's size."""
        probabilities, scores = [], []
        for axes in VIEWS[self.views]:
            axes = tuple(axis - 1 for axis in axes)  # the last axis is the colour
            _, probability, score = self._whole(mirrored(pixels, axes))  # type: ignore[misc]
            probabilities.append(mirrored(probability, tuple(axis + 1 for axis in axes)))
            scores += [] if score is None else [score]
        mean = np.asarray(np.mean(probabilities, axis=0, dtype=np.float32))
        mask = clean(np.asarray(mean >= np.float32(self.steps.threshold)), self.steps.keep)
        return Finding(mask, mean, np.asarray(np.mean(scores, axis=0, dtype=np.float32)) if scores else None)


def _whole(folder: Path) -> ModelFolder | None:
    """A model folder; None where the weights beside it tell what they are and the model is not made from them.

    Raises:
        InputError: when it is damaged and nothing beside it can be taken instead.
    """
    try:
        model = read_model(folder)
    except InputError as error:
        if not _tells_all(folder, configs=True):
            raise
        logger.warning("%s; its weights, %s, are converted instead", error, folder / WEIGHTS)
        return None
    if model.is_current:
        return model
    logger.info("%s holds other weights than %s was made from", model.weights, model.model)
    return None


def _inert(
    cls: type[LesionSegmenter],
    root: Path,
    weights: str | Path | None,
    overrides: Mapping[str, Any] | None,
    execution: Execution,
) -> LesionSegmenter:
    """Make the segmenter of a bundle of which nothing is run."""
    from dataclasses import replace

    from monai_lesion.models.inert_bundles import read_inert

    if overrides:
        raise InputError("--no-code", "takes no --set", got=", ".join(overrides), fix="Leave one of them out")
    network, definition, steps = read_inert(root, weights=weights)
    if execution.runtime is None:
        execution = replace(execution, runtime="onnx" if execution.on_cpu else "torch")
    return cls(network, steps, network_def=definition, name=root.resolve().name[:64], execution=execution)


def _converted(
    cls: type[LesionSegmenter],
    root: Path,
    weights: str | Path | None,
    overrides: Mapping[str, Any] | None,
    execution: Execution,
) -> Segmenter:
    """Make the segmenter of a bundle that has no model folder for this request."""
    from dataclasses import replace

    if weights is None and _tells_all(root):
        from monai_lesion.models.bundles import bundle_folder

        root, weights = bundle_folder(), root / WEIGHTS
    if not (root / "configs" / "inference.json").is_file():
        names = preset_names()
        fix = f"You can also name a model folder or a network that comes with the package: {', '.join(names)}"
        if str(root) in names:
            fix = f'A network that comes with the package is LesionSegmenter.from_preset("{root}")'
        raise InputError(root, "must be a bundle with configs/inference.json", got="no such file", fix=fix)
    from monai_lesion.models.bundle_networks import read_bundle

    found = read_bundle(root, weights=weights, overrides=overrides)
    if execution.runtime is None:
        wanted = "onnx" if execution.on_cpu else "torch"
        execution = replace(execution, runtime=wanted)
        if wanted == "onnx":
            logger.info("converting %s for ONNX Runtime for this run only, because it has no model folder", root)
    if found.steps is not None:
        return cls(
            found.network,
            found.steps,
            bundle_version=found.version,
            network_def=found.network_def,
            name=found.name,
            execution=execution,
        )
    from monai_lesion.segmentation.transform_segmenters import TransformSegmenter

    return TransformSegmenter(
        found.network, found.preprocess, found.postprocess, bundle_version=found.version, execution=execution
    )


def _tells_all(folder: Path, *, configs: bool = False) -> bool:
    """Whether a folder without a bundle holds weights that say what they are of, as of a training that was killed."""
    if ((folder / "configs").exists() and not configs) or not (folder / WEIGHTS).is_file():
        return False
    from monai_lesion.errors import CheckpointError
    from monai_lesion.networks.weight_files import read_weights

    try:
        found = read_weights(folder / WEIGHTS)
    except CheckpointError:  # of TorchScript, for instance
        return False
    return found.input_size is not None and found.network_def is not None
