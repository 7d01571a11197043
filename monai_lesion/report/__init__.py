"""Reports on studies.

``studies`` reads what trials left, ``comparisons`` and ``study_tables`` reckon, ``plots`` and ``galleries`` draw,
``sections`` puts together what is said of a study, ``pages`` binds it into one HTML file, ``documents`` into Markdown.
``kept_records`` makes records small enough to commit; ``calipers`` tells what calipers do to a network.
"""
