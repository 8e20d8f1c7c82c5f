"""The operator: providers, the reconciler, Envoy's supervision and the proof of propagation.

Everything here is an adapter: files, clocks, processes and sockets on one side, the
pure core on the other. ``operator/`` itself must never become importable.
"""
