"""Faults between the operator and a real API server: a proxy that injects them, plans of what to inject, oracles."""
