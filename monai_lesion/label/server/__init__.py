"""What runs inside a MONAI Label server. Imported there only: it needs MONAI Label 0.8.5."""
