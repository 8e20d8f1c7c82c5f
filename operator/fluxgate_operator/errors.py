"""The operator's own exceptions, for callers of its composition roots.

FluxGateError
└── OperatorError
    ├── EnvoyNotFoundError   there is no Envoy binary
    ├── EnvoyAdminError      Envoy's admin interface does not answer
    ├── DocumentError        a file or document cannot be read (in documents.py)
    ├── StateDirError        the state folder cannot be used
    └── PortTakenError       another process listens on a listener's port
"""

from __future__ import annotations

from fluxgate.errors import FluxGateError


class OperatorError(FluxGateError):
    """Base of the operator's exceptions; the message names the remedy."""


class EnvoyNotFoundError(OperatorError):
    """There is no Envoy binary where one was looked for."""


class EnvoyAdminError(OperatorError):
    """Envoy's admin interface does not answer as it should."""


class StateDirError(OperatorError):
    """The state folder is in use by another instance, or cannot be written."""


class PortTakenError(OperatorError):
    """Another process listens on an address a listener wants."""
