"""The library behind `hack/cluster`: real, throw-away Kubernetes clusters on one machine, for development and tests."""
