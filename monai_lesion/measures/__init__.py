"""Metrics, sizes and masks."""
