"""The contract: one pydantic model per kind, from which the custom resource definitions are generated."""
