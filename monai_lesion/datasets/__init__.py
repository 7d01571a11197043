"""Manifests, the lists of images and labels that training, evaluation and calibration read, and how to make them."""
