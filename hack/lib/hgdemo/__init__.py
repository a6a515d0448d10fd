"""The demonstration, and what the end-to-end tests share with it: a cluster, an application, and its users."""
