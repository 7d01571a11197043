"""Model folders: everything that decides a mask, described, opened and written; those that come with the package."""
