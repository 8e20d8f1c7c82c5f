"""Random route tables and requests, and two ways to ask who answers: Python and the real Envoy."""
