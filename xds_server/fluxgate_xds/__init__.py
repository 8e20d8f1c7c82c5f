"""The xDS server: streams snapshots to Envoys and gRPC clients, and hears what they say."""
