"""From the IR to Envoy's messages: pure ``build_*`` functions, one module a resource type."""
