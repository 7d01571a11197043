"""Segment a whole archive on Ray Data: one row a frame in Parquet, resumed exactly once; see docs/how-to/archive.md."""
