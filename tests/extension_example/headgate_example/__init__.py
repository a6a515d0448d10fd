"""An extension of Headgate: a router by `TrafficShare` objects, and a check that reads a file."""
