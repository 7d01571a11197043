"""How large a picture may be: checked before memory is taken for it, in every format.

The largest ultrasound frames have 8 million pixels. To read larger pictures, set these before you read.
"""

MAX_PIXELS = 2**26  # of a picture or a frame: 8192 x 8192
MAX_BYTES = 2**29  # of its numbers in memory, and of what a compressed file may become
