"""What makes a fleet reachable from outside: Ingresses, OpenShift Routes, Services."""

from fluxgate_operator.exposure.address import Address
from fluxgate_operator.exposure.exposures import Exposures, ExposureSettings
from fluxgate_operator.exposure.state import ExposedStatuses

__all__ = ["Address", "ExposedStatuses", "ExposureSettings", "Exposures"]
