"""Reports on studies.

``studies`` reads what trials left, ``comparisons`` and ``study_tables`` compute, ``plots`` and ``galleries`` draw,
``sections`` collects what a report says about a study, ``pages`` writes it as one HTML file, ``documents`` as Markdown.
``kept_records`` makes records small enough to commit; ``calipers`` shows what calipers do to a network.
"""
