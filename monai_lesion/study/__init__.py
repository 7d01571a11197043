"""Studies: many trainings from one small file, each an ordinary run of the bundle in its own folder.

``specifications`` reads the file, ``checks`` refuses what cannot work before anything is trained, ``trials`` names
each training, ``plans`` says what is next, ``engines`` runs it here or on Ray, ``jobs`` is what they run, ``records``
is what each leaves, ``runs`` holds it together. Reports are made by ``monai_lesion.report``.
"""
