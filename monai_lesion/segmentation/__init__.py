"""From a picture to a result: segmenters, batches, results."""
