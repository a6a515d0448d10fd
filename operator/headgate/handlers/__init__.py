"""Registers with kopf what the operator watches, and hands each event to the engine."""
