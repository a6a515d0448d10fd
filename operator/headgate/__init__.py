"""Headgate: a Kubernetes operator for progressive delivery."""
