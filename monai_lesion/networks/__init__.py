"""Networks: logits out, any height and width from 16 pixels up."""

from monai_lesion.networks.cmunext import CMUNeXt
from monai_lesion.networks.contracts import SegmentationNetwork, logits_of
from monai_lesion.networks.deeplabv3plus import DeepLabV3Plus
from monai_lesion.networks.encoder_unet import EncoderUNet
from monai_lesion.networks.ensembles import Ensemble
from monai_lesion.networks.fcn import FCN
from monai_lesion.networks.trust_heads import TrustHeads
from monai_lesion.networks.unet import LighterUNet, LightUNet, UNet
from monai_lesion.networks.unext import UNeXt

__all__ = [
    "FCN",
    "CMUNeXt",
    "DeepLabV3Plus",
    "EncoderUNet",
    "Ensemble",
    "LightUNet",
    "LighterUNet",
    "SegmentationNetwork",
    "TrustHeads",
    "UNeXt",
    "UNet",
    "logits_of",
]
