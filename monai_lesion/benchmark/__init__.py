"""How fast each network is in each runtime on this machine, beside what the machine can do at all."""
