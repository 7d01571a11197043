"""What this computer is: processor, packages, memory, time."""
