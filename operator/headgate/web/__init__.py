"""The dashboard: shows rollouts from the caches to a browser."""
