"""Which image to label next: the one that the network is least sure of."""

from __future__ import annotations

import logging
import time

from monailabel.interfaces.datastore import Datastore
from monailabel.tasks.scoring.epistemic_v2 import EpistemicScoring
from monailabel.utils.others.generic import name_to_device

from monai_lesion.errors import InputError
from monai_lesion.label.server.tasks import LesionInfer
from monai_lesion.label.uncertainty import uncertainty

logger = logging.getLogger(__name__)


class EntropyScoring(EpistemicScoring):  # type: ignore[misc]
    """Score by the entropy of the probability map under dropout.

    MONAI Label's own scoring looks at finished masks, and sets batch normalisation to training as well. Its figures go
    under the same names, so that its strategy and its clients find these.
    """

    infer_task: LesionInfer

    def run_scoring(self, image_id: str, simulation_size: int, model_ts: int, datastore: Datastore) -> None:
        """Score one image; one that cannot be read gets no score, and does not stop the rest."""
        start = time.time()
        try:
            path, device = datastore.get_image_uri(image_id), name_to_device("cuda")  # cpu where there is no CUDA
            score = uncertainty(self.infer_task.dropout_maps(path, passes=simulation_size, device=device))
        except InputError as error:
            logger.warning("No score for %s: %s", image_id, error)
            return
        logger.info("%s: entropy %.4f of %d passes, %.1f s", image_id, score, simulation_size, time.time() - start)
        datastore.update_image_info(image_id, {self.key_output_entropy: score, self.key_output_ts: model_ts})
