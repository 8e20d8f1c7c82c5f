"""The control API: how ``fluxgate status`` and ``explain`` talk to a running ``fluxgate run``.

HTTP over a Unix socket in the state folder that only its owner can open. The
models are shared by server and client.
"""
