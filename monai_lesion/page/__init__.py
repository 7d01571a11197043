"""The page on which a reader drops a picture, built from ``web/``, and the small server that can stand behind it."""
