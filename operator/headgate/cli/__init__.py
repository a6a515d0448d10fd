"""The command line, `headgate` and `kubectl headgate`, for people and pipelines."""
