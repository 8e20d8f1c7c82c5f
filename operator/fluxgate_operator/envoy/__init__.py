"""One Envoy process: find it, write its bootstrap, run it, ask it, validate with it."""
