"""Runtimes: what executes a trained network, behind one interface; and the same function with less arithmetic."""
