"""The routers of ``/v2``."""
