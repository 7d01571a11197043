"""Data lists: what a training, an evaluation or a calibration reads, and where such lists come from."""
