"""A world in one process and in virtual time, in which the real operator runs: API server, controllers, faults."""
