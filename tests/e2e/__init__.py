"""Tests against a whole cluster with real traffic; a package, so that it goes when the last of them is over."""
