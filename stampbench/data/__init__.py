"""Images: where they are found, how they are packed, drawn, augmented and handed to the networks."""
