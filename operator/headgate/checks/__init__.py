"""One module per check provider behind one protocol: question in, measurement out."""
