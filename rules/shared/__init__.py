"""What several rules ask: who is a gate, what is the image, which affine map follows, what form a layer takes."""
