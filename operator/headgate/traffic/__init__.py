"""One module per traffic router behind one protocol: weights in, weights read back."""
