"""Builds the snapshots that the core decides on from what the caches hold."""
