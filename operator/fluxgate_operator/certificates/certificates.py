"""What this replica proves itself by, and whom it trusts; kept fresh while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from structlog.typing import FilteringBoundLogger

from fluxgate_operator.certificates.authority import Pair, issue
from fluxgate_operator.certificates.files import PrivateFolder
from fluxgate_operator.certificates.given import AUTHORITY, CERTIFICATE, KEY, read_given
from fluxgate_operator.certificates.publishing import publish_bundle, publish_to_webhooks
from fluxgate_operator.certificates.rotation import Authorities, RotationSettings
from fluxgate_operator.certificates.secret import AuthoritySecret
from fluxgate_operator.errors import OperatorError
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.settings import ControllerSettings
from fluxgate_xds.credentials import TLSFiles

_RENEW = 2 / 3


def utc_now() -> dt.datetime:
    """The wall clock."""
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True, slots=True)
class CertificateSettings:
    """How often everything is looked at, in seconds: ``check``; ``retry`` after a failure.

    ``check_given`` is for files that others replace, ``repeat`` how often a failure that stays
    the same is logged again.
    """

    rotation: RotationSettings = field(default_factory=RotationSettings)
    check: float = 60.0
    check_given: float = 10.0
    retry: float = 1.0
    repeat: float = 60.0


class Certificates:
    """Certificates made by us, or by others in ``settings.tls_dir`` (cert-manager).

    Servers read them from a private folder, where only what was checked arrives: what was there
    stays until there is something better. :meth:`run` keeps them fresh; :attr:`ready` is set when there are some. The leader publishes
    the authorities: ConfigMap ``fluxgate-ca``, and ``caBundle`` of the webhook configurations
    named ``<service>-<namespace>``.
    """

    def __init__(
        self,
        client: KubeClient,
        settings: ControllerSettings,
        leading: Callable[[], bool],
        log: FilteringBoundLogger,
        timing: CertificateSettings | None = None,
        clock: Callable[[], dt.datetime] = utc_now,
        *,
        makes_authority: bool = True,
    ) -> None:
        """Without ``makes_authority`` the authority is only read: a controller makes it."""
        self._client = client
        self._settings = settings
        self._leading = leading
        self._log = log
        self._timing = timing or CertificateSettings()
        self._clock = clock
        self._secret = AuthoritySecret(
            client, settings.namespace, self._timing.rotation, clock, makes=makes_authority
        )
        self._folder = PrivateFolder()
        self._given: Mapping[str, bytes] = {}
        self._trouble = ("", 0.0)
        self._own: Pair | None = None
        self._signer = b""
        self._contexts: list[ssl.SSLContext] = []
        self._poked = asyncio.Event()
        self.ready = asyncio.Event()
        self.ca_pem = b""

    @property
    def names(self) -> tuple[str, ...]:
        """What the certificate says this replica is."""
        settings = self._settings
        service = f"{settings.service}.{settings.namespace}"
        dns = (f"{service}.svc", f"{service}.svc.cluster.local", service)
        return (*dns, settings.advertise, self.identity)

    @property
    def identity(self) -> str:
        """The SPIFFE id of every replica."""
        return f"spiffe://{self._settings.trust_domain}/controller"

    @property
    def peer_names(self) -> tuple[str, ...]:
        """Who a replica is by its certificate; one that others made may lack the SPIFFE id."""
        return (self.identity, self.server_name)

    @property
    def server_name(self) -> str:
        """The DNS name in the certificate, by which every replica and webhook is known."""
        return f"{self._settings.service}.{self._settings.namespace}.svc"

    def server_tls(self) -> TLSFiles:
        """Files for gRPC servers, which re-read them before a handshake when they changed."""
        folder = self._folder.path
        return TLSFiles(folder / CERTIFICATE, folder / KEY, folder / AUTHORITY)

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """For a connection to another replica, by mutual TLS; to be asked for each anew."""
        files = self.server_tls()
        return grpc.ssl_channel_credentials(
            files.client_ca.read_bytes(), files.key.read_bytes(), files.certificate.read_bytes()
        )

    def server_context(self) -> ssl.SSLContext:
        """For HTTPS servers; stays the same object, and its certificate is renewed."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._load(context)
        self._contexts.append(context)
        return context

    def poke(self) -> None:
        """Look now: leadership changed, or time has passed."""
        self._poked.set()

    async def run(self) -> None:
        """Make, renew and publish until cancelled; an API server that is away is waited for."""
        timing = self._timing
        regular = timing.check if self._settings.tls_dir is None else timing.check_given
        try:
            while True:
                pause = regular
                try:
                    await self._round()
                    self._trouble = ("", 0.0)
                except (OperatorError, OSError, ValueError) as error:
                    pause = timing.retry
                    self._complain(str(error))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._poked.wait()
                self._poked.clear()
        finally:
            self._folder.close()

    def _complain(self, error: str) -> None:
        """Once, and again now and then while it stays so."""
        now = asyncio.get_running_loop().time()
        said, at = self._trouble
        if error == said and now - at < self._timing.repeat:
            return
        self._trouble = (error, now)
        serving = (
            "with the present certificate" if self.ready.is_set() else "not before there is one"
        )
        self._log.warning("certificates are not up to date", error=error, serving=serving)

    async def _round(self) -> None:
        settings = self._settings
        if settings.tls_dir is None:
            self._renew(await self._secret.current())
        else:
            self._take_up(settings.tls_dir)
        self.ready.set()
        if self._leading():
            await publish_bundle(self._client, settings.namespace, self.ca_pem)
            if settings.webhook_port is not None:  # else there is no right to look at them either
                name = f"{settings.service}-{settings.namespace}"
                await publish_to_webhooks(self._client, name, self.ca_pem)

    def _take_up(self, folder: Path) -> None:
        given = read_given(folder, self.server_name, self._clock())
        if given == self._given:
            return
        self._replace(given)
        self._given = given
        until = str(Pair(given[CERTIFICATE], given[KEY]).parsed.not_valid_after_utc)
        self._log.info("certificate taken up", folder=str(folder), until=until)

    def _renew(self, authorities: Authorities) -> None:
        now, own = self._clock(), self._own
        fresh = own is not None and own.spent(now) < _RENEW
        if not fresh or self._signer != authorities.signer.certificate:
            life = self._timing.rotation.certificate_life
            own = issue(authorities.signer, self.names, now, life)
            self._log.info("certificate made", until=str(own.parsed.not_valid_after_utc))
        elif authorities.bundle == self.ca_pem:
            return
        assert own is not None
        self._replace({CERTIFICATE: own.certificate, KEY: own.key, AUTHORITY: authorities.bundle})
        self._own, self._signer = own, authorities.signer.certificate

    def _replace(self, files: Mapping[str, bytes]) -> None:
        self._folder.replace(files)
        self.ca_pem = files[AUTHORITY]
        for context in self._contexts:
            self._load(context)

    def _load(self, context: ssl.SSLContext) -> None:
        files = self.server_tls()
        context.load_cert_chain(files.certificate, files.key)
