"""The pure core: from a snapshot and the time to the next status and actions, without I/O."""
