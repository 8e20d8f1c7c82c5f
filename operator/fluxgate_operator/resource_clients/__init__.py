"""Reading and writing objects of our kinds: the adapters of :class:`fluxgate.ports.ResourceClient`.

``directory``   a folder of YAML files, whoever else writes there
``kubernetes``  an API server, by the official client's asyncio side
"""
