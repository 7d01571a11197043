"""The app: MONAI Label's bundle app, for bundles whose weights are checked."""

from __future__ import annotations

import logging
import os
from typing import Any

from dicomweb_client.session_utils import create_session_from_user_pass
from monailabel.config import settings
from monailabel.datastore.dicom import DICOMwebClientX
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.exception import ImageNotFoundException
from monailabel.tasks.activelearning.epistemic import Epistemic
from monailabel.tasks.activelearning.first import First
from monailabel.tasks.activelearning.random import Random
from monailabel.utils.others.generic import strtobool

from monai_lesion._version import NOTICE, __version__
from monai_lesion.errors import InputError
from monai_lesion.images.pictures import forbid_postscript
from monai_lesion.label.folders import served_bundles
from monai_lesion.label.server.answers import refusals
from monai_lesion.label.server.datastores import EXTENSIONS, LesionArchive, checked
from monai_lesion.label.server.scoring import EntropyScoring
from monai_lesion.label.server.strategies import DoubtfulFirst
from monai_lesion.label.server.tasks import LesionBatchInfer, LesionInfer, LesionTrain

logger = logging.getLogger(__name__)


class LesionApp(MONAILabelApp):  # type: ignore[misc]
    """Infer, train and choose what to label next with the bundles in ``model/``.

    It takes the settings of MONAI Label's own bundle app that have a meaning here: ``models``, ``skip_trainers``,
    ``epistemic_model``, ``epistemic_max_samples``, ``epistemic_simulation_size``, ``epistemic_dropout``. Others, such
    as ``zoo_source`` and ``sam2``, are ignored: nothing is fetched from the network.

    Args:
        app_dir: the app folder.
        studies: folder of images, or the address of a DICOMweb server.
        conf: settings.

    Raises:
        SystemExit: when a bundle's weights are missing or belong to another network.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        forbid_postscript()
        try:
            self.bundles = served_bundles(app_dir, _names(conf, "models"))
            self.scored = _names(conf, "epistemic_model")
            for name in self.scored:
                if name not in self.bundles:
                    raise InputError("epistemic_model", f"must be one of {', '.join(self.bundles)}", got=name)
        except InputError as error:
            logger.critical("The app cannot start: %s", error)
            raise SystemExit(1) from error
        what = f"Finds lesions in ultrasound images. {NOTICE}"
        super().__init__(app_dir, studies, conf, name="monai_lesion", description=what, version=__version__)

    def init_datastore(self) -> Datastore:
        """A folder or an archive, for images of the kinds that are read."""
        if not _chosen("MONAI_LABEL_DATASTORE_FILE_EXT"):
            settings.MONAI_LABEL_DATASTORE_FILE_EXT = EXTENSIONS
        return checked(super().init_datastore())

    def _init_dicomweb_datastore(self) -> Datastore:
        user, password = settings.MONAI_LABEL_DICOMWEB_USERNAME, settings.MONAI_LABEL_DICOMWEB_PASSWORD
        client = DICOMwebClientX(
            url=self.studies,
            session=create_session_from_user_pass(user, password) if user and password else None,
            qido_url_prefix=settings.MONAI_LABEL_QIDO_PREFIX,
            wado_url_prefix=settings.MONAI_LABEL_WADO_PREFIX,
            stow_url_prefix=settings.MONAI_LABEL_STOW_PREFIX,
        )
        asked = _chosen("MONAI_LABEL_DICOMWEB_SEARCH_FILTER")
        return LesionArchive(
            client,
            search_filter=settings.MONAI_LABEL_DICOMWEB_SEARCH_FILTER if asked else {"Modality": "US"},
            cache_path=settings.MONAI_LABEL_DICOMWEB_CACHE_PATH.strip() or None,
            fetch_by_frame=settings.MONAI_LABEL_DICOMWEB_FETCH_BY_FRAME,
            convert_to_nifti=settings.MONAI_LABEL_DICOMWEB_CONVERT_TO_NIFTI,
        )

    def init_infers(self) -> dict[str, Any]:
        """Make one for each bundle."""
        return {name: LesionInfer(str(path), self.conf) for name, path in self.bundles.items()}

    def init_trainers(self) -> dict[str, Any]:
        """Make one for each bundle."""
        if strtobool(self.conf.get("skip_trainers", "false")):
            return {}
        return {name: LesionTrain(str(path), self.conf) for name, path in self.bundles.items()}

    def init_strategies(self) -> dict[str, Any]:
        """Any image, the first, the one of the highest score, or the one whose mask is least to be believed."""
        return {"random": Random(), "first": First(), "epistemic": Epistemic(), "doubtful_first": DoubtfulFirst()}

    def init_scoring_methods(self) -> dict[str, Any]:
        """Score only with the bundles that ``epistemic_model`` names, because scoring all images takes a while."""
        options = {
            "max_samples": int(self.conf.get("epistemic_max_samples", "0")),
            "simulation_size": int(self.conf.get("epistemic_simulation_size", "5")),
        }
        dropout = float(self.conf.get("epistemic_dropout", "0"))  # 0 leaves the bundle's own
        return {
            name: EntropyScoring(LesionInfer(str(self.bundles[name]), self.conf, dropout=dropout), **options)
            for name in self.scored
        }

    def init_batch_infer(self) -> Any:
        """Run batch inference, which continues after a bad image."""
        return LesionBatchInfer()

    def infer(self, request: Any, datastore: Datastore | None = None) -> Any:
        """Segment an image; explain a wrong request in words."""
        store, image = datastore or self.datastore(), request.get("image")
        with refusals():
            if isinstance(image, str) and not os.path.exists(image) and not store.get_image_uri(image):
                raise ImageNotFoundException(f"Image {image} not found")
            answer = super().infer(request, store)
        told = {key: value for key, value in answer.get("params", {}).items() if key in ("decision", "trust")}
        if told and isinstance(image, str) and store.get_image_info(image):
            store.update_image_info(image, told)
        return answer


def _chosen(name: str) -> bool:
    """Whether a setting is not MONAI Label's own, which is in the environment as well: it exports them all."""
    return bool(getattr(settings, name) != type(settings).model_fields[name].default)


def _names(conf: dict[str, str], key: str) -> list[str]:
    return [name.strip() for name in conf.get(key, "").split(",") if name.strip() not in ("", "all")]
