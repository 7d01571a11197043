"""The networks that come with the package and the folders that are exported."""
