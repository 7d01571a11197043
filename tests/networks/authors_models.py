"""The authors' modules, written from the description of their layout: the oracle for published checkpoints.

Nothing of ours is imported. Tests load this file under a name that Python cannot import and forget it before loading.
"""

import torch
import torch.nn.functional as F
from torch import nn


class GroupedThenPointwise(nn.Module):
    def __init__(self, inputs, outputs, size):
        super().__init__()
        size = 3 if inputs == 3 and size != 1 else min(size, inputs)
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs // size), nn.Conv2d(inputs, outputs, kernel_size=1)
        )

    def forward(self, x):
        return self.conv(x)


def dense(inputs, outputs, size):
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)


def separable(inputs, outputs, size):
    return GroupedThenPointwise(inputs, outputs, 1)


class DoubleConv(nn.Module):
    def __init__(self, kinds, inputs, outputs, middle, size):
        super().__init__()
        self.double_conv = nn.Sequential(
            kinds[0](inputs, middle, size),
            nn.BatchNorm2d(middle),
            nn.ReLU(inplace=True),
            kinds[1](middle, outputs, size),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )

    def forward(self, x):
        return self.double_conv(x)


class Down(nn.Module):
    def __init__(self, kinds, inputs, outputs, size):
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(kinds, inputs, outputs, outputs, size))

    def forward(self, x):
        return self.maxpool_conv(x)


class Up(nn.Module):
    def __init__(self, kinds, inputs, outputs, size):
        super().__init__()
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.conv = DoubleConv(kinds, inputs, outputs, inputs // 2, size)

    def forward(self, deep, skip):
        deep = self.up(deep)
        rows, columns = skip.shape[2] - deep.shape[2], skip.shape[3] - deep.shape[3]
        deep = F.pad(deep, [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2])
        return self.conv(torch.cat([skip, deep], dim=1))


class OutConv(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel_size=1)

    def forward(self, x):
        return self.conv(x)


class UNet(nn.Module):
    kinds = (dense, dense)

    def __init__(self, inputs=3, outputs=1, size=None):
        super().__init__()
        self.n_channels = inputs
        self.bilinear = True
        self.inc = DoubleConv(self.kinds, inputs, 64, 64, size)
        self.down1 = Down(self.kinds, 64, 128, size)
        self.down2 = Down(self.kinds, 128, 256, size)
        self.down3 = Down(self.kinds, 256, 512, size)
        self.down4 = Down(self.kinds, 512, 512, size)
        self.up1 = Up(self.kinds, 1024, 256, size)
        self.up2 = Up(self.kinds, 512, 128, size)
        self.up3 = Up(self.kinds, 256, 64, size)
        self.up4 = Up(self.kinds, 128, 64, size)
        self.outc = OutConv(64, outputs)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        x1 = self.inc(x)
        x2 = self.down1(x1)
        x3 = self.down2(x2)
        x4 = self.down3(x3)
        x = self.dropout(self.down4(x4))
        x = self.up4(self.up3(self.up2(self.up1(x, x4), x3), x2), x1)
        return torch.sigmoid(self.outc(x))


class Light_UNet(UNet):  # noqa: N801
    kinds = (dense, separable)


class Lighter_UNet(UNet):  # noqa: N801
    kinds = (GroupedThenPointwise, GroupedThenPointwise)
