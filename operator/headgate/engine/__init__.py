"""Runs the loop: cache, queue, wake-ups, leader election, supervision."""
