"""A small network whose masks are neither empty nor full."""

from __future__ import annotations

import torch

from monai_lesion import LesionSegmenter
from monai_lesion.networks import LighterUNet
from monai_lesion.pipeline.steps import Steps

SIZE = (32, 64)  # powers of two, as the bundle's 256: then every place in the resize is exact


def segmenting(network):
    """Statistics as after a training, and logits that are spread and centred."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean over all pictures
    pictures = torch.rand(6, 3, *SIZE)
    with torch.inference_mode():
        network.train()
        network(pictures)
        logits = network.eval()(pictures)
        scale = 3 / logits.std()
        network.head.bias.copy_((network.head.bias - logits.median()) * scale)
        network.head.weight.mul_(scale)
    return network


def small_network(seed=0):
    torch.manual_seed(seed)
    return segmenting(LighterUNet(group_size=8, width=0.125).eval())


def make_segmenter(network, **options):
    order = options.pop("channel_order", "rgb")
    return LesionSegmenter(network, Steps(input_size=SIZE, channel_order=order), device="cpu", **options)
