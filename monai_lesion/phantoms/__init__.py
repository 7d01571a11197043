"""Simulated two-view cases."""
