"""Objects generated from the schemas of the kinds: each property set, removed, at each boundary and made wrong."""
