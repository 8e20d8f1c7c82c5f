"""The Kubernetes provider: the API server is the source of truth."""
