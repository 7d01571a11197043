"""Studies: many trainings from one small file, each an ordinary run of the bundle in its own folder.

``specifications`` reads the file, ``checks`` refuses what cannot work before anything is trained, ``trials`` names
each training, ``plans`` decides what to run next, ``engines`` run it here or on Ray, ``jobs`` are what they run,
``records`` keep the result of each, and ``runs`` puts it all together. Reports are made by ``monai_lesion.report``.
"""
