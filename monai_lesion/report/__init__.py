"""Reports on studies.

``results`` reads what trials left, ``statistics`` and ``tables`` reckon, ``plots`` and ``figures`` draw, ``pages``
binds it into one HTML file, ``keeping`` makes records small enough to commit.
"""
