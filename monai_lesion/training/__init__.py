"""How a network is trained beyond what MONAI and ignite bring: losses, averages, schedules, batches."""
