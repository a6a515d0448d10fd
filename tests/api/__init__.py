"""Tests against a real kube-apiserver; a package, so that its cluster goes when the last of them is over."""
