"""A node without a kubelet: it runs the pods of a real API server as OCI containers with runc.

Everything above it is real: API server, controllers, Helm, the chart's own pod templates with
their security contexts, volumes, bound tokens and probes. What it leaves out: scheduling beyond
one node, resource limits, images (a table says what stands for which), kube-proxy (pods find
Services by name, at the addresses of their ready pods, so port and target port must agree).
"""
