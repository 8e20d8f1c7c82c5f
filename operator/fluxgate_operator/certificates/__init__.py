"""The control plane's certificates: made and rotated here, or given by others."""

from fluxgate_operator.certificates.certificates import Certificates, CertificateSettings

__all__ = ["CertificateSettings", "Certificates"]
