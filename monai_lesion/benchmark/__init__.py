"""How fast each network is in each runtime on this machine."""
