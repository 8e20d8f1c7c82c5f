"""The Kubernetes API as the operator uses it: where the server is, one client, its errors."""
