"""Reading ultrasound images and masks, listing them in manifests, simulating them."""
