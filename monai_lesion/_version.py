"""What every result says of the software: its version, and what it is not."""

__version__ = "0.1.0"
NOTICE = "Research use only; not a medical device"
