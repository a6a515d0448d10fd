"""Measures what the operator costs: fleets of Rollouts on a light cluster, figures beside targets."""
