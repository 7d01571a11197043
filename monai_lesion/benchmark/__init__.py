"""Measure how fast each network is in each runtime on this machine."""
