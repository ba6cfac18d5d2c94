"""Images: finding, packing, drawing and augmenting them, and batches of them for the networks."""
