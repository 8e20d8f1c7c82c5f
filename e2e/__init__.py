"""End-to-end scenarios: on kind where there is a container engine, else on a local control plane."""
