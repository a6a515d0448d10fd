"""What the campaigns share: whose turn it is, how long it may take, and a record to go on from."""
