"""Answer every study for years without anyone looking: one process tree beside the archive, described by one file.

::

    service.toml -- configurations -- checks
                         |
    scanner -- listener --+                                        +-- senders -- C-STORE, commitments -- archive
    archive -- pollers ---+-- stores -- segmenting -- stores ------+-- senders -- STOW-RS ------------- archive
                               |          (routes)      |
                               +------- registers ------+-- metrics, audits, endpoints

Receiving, the queue's folders, DIMSE and DICOMweb are those of ``pacs``. See docs/how-to/service.md.
"""
