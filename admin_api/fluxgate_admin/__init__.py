"""The admin API: FastAPI over use cases that know no HTTP, writing objects through one port.

``v2``         the routers of ``/v2``: they only map its document's shapes
``http``       what every surface shares of HTTP: request ids, errors, authentication, limits
``use_cases``  what can be done, for every surface: validation, tenancy, history, audit
``auth``       keys, signatures, OAuth2 clients, service accounts
``db``         the database: history, audit, credentials; never configuration
"""
