"""What the tests share: the real Envoy, upstreams it talks to, and clients."""
