"""Manifests: made, split, checked, listed."""
