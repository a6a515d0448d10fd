"""Carries out one action at a time against the cluster, and writes status."""
