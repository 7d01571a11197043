"""Networks: logits out, any height and width from 16 pixels up."""

from monai_lesion.networks.unet import LighterUNet, LightUNet, UNet

__all__ = ["LightUNet", "LighterUNet", "UNet"]
