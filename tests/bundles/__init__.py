"""What the tests of the bundle share."""

# Neither normalised over a batch nor random: what it learns depends on the images alone.
PLAIN_NETWORK = {
    "_target_": "monai.networks.nets.UNet",
    "spatial_dims": 2,
    "in_channels": 3,
    "out_channels": 1,
    "channels": [8, 16],
    "strides": [2],
    "norm": "instance",
}
