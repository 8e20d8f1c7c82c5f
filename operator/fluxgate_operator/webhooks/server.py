"""kopf's webhook server, without kopf's operator.

The operator would watch, scan and write webhook configurations, take over signals, and die of a
401; a static configuration and two functions need none of that (see docs/decisions/0015).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any

import kopf
from kopf._core.engines.admission import UnknownResourceError, WebhookError
from structlog.typing import FilteringBoundLogger

from fluxgate.resources import Resources
from fluxgate_operator.certificates import Certificates
from fluxgate_operator.settings import ControllerSettings
from fluxgate_operator.sidecar import InjectionRefusedError, SidecarSettings, inject
from fluxgate_operator.webhooks.configurations import MUTATE, VALIDATE
from fluxgate_operator.webhooks.reviews import Question, ReviewError, allow, deny, read_review
from fluxgate_operator.webhooks.validation import Judgement, Validator

World = Callable[[], Resources | None]
"""What is known now; None before the first complete list."""

Answer = dict[str, Any]


async def forever() -> None:
    """For a world that stays as it is."""
    await asyncio.Event().wait()


class Webhooks:
    """Serves ``/mutate-pods`` and ``/validate`` over HTTPS until :meth:`run` is cancelled.

    ``sidecar`` gives the settings of an injection made now, since authorities rotate. ``turned``
    returns when ``world`` is another.
    """

    def __init__(
        self,
        settings: ControllerSettings,
        certificates: Certificates,
        world: World,
        sidecar: Callable[[], SidecarSettings],
        log: FilteringBoundLogger,
        turned: Callable[[], Awaitable[None]] = forever,
    ) -> None:
        self._turned = turned
        self._settings = settings
        self._certificates = certificates
        self._world = world
        self._sidecar = sidecar
        self._log = log
        self._validator = Validator()
        self._one_at_a_time = asyncio.Lock()
        self.serving = asyncio.Event()
        self.port = 0

    async def run(self) -> None:
        """Serve. Raises ``OSError`` when the address cannot be had."""
        await self._certificates.ready.wait()
        self.port = self._settings.webhook_port or _free_port(self._settings.webhook_address)
        server = kopf.WebhookServer(
            addr=self._settings.webhook_address,
            port=self.port,
            host=self._certificates.server_name,
            context=self._certificates.server_context(),
            certfile=self._certificates.server_tls().certificate,
            pkeyfile=self._certificates.server_tls().key,
            file_check_interval=_NEVER,  # the context is renewed in place, without a pause
        )
        serving: AsyncGenerator[object, None] = server(self.answer)  # type: ignore[arg-type,assignment]  # kopf's types are closed ones
        async with contextlib.aclosing(serving):
            async for _ in serving:
                self.serving.set()
                self._log.info("webhooks served", port=self.port)

    async def answer(
        self,
        request: Any,  # noqa: ANN401 - kopf.WebhookFn
        *,
        webhook: str | None = None,
        headers: Mapping[str, str] | None = None,
        sslpeer: Mapping[str, Any] | None = None,
    ) -> Answer:
        """One AdmissionReview, by the path it came to. Raises what kopf answers 400 and 404 for."""
        del headers, sslpeer
        try:
            question = read_review(request)
        except ReviewError as error:
            raise WebhookError(str(error)) from error
        if f"/{webhook}" == MUTATE:
            return self._mutate(question)
        if f"/{webhook}" == VALIDATE:
            return await self._validate(question)
        raise UnknownResourceError(f"nothing is served on /{webhook}")

    def _mutate(self, question: Question) -> Answer:
        world = self._world()
        if world is None:
            return deny(question, "the GatewayConfigs are not known yet; try again", 503)
        try:
            patch = inject(question.obj, question.namespace, world.gateway_configs, self._sidecar())
        except InjectionRefusedError as error:
            self._log.info("sidecar refused", namespace=question.namespace, reason=str(error))
            return deny(question, f"no sidecar: {error}")
        return allow(question, patch)

    async def _validate(self, question: Question) -> Answer:
        world = self._world()
        if world is None:
            return allow(question, warnings=["not checked: FluxGate is starting"])
        if question.old is not None and question.old.get("spec") == question.obj.get("spec"):
            return allow(question)
        judgement = await self._judge(question, world)
        if judgement.early:
            # what it refers to was perhaps stored right before it, and is still on its way to us
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CATCH_UP_SECONDS):
                    while judgement.early:
                        await self._turned()
                        judgement = await self._judge(question, self._world() or world)
        if judgement.refused:
            return deny(question, judgement.refused)
        return allow(question, warnings=judgement.warnings)

    async def _judge(self, question: Question, world: Resources) -> Judgement:
        # who no longer waits must not let the next one in: the thread goes on
        return await asyncio.shield(asyncio.create_task(self._judge_alone(question, world)))

    async def _judge_alone(self, question: Question, world: Resources) -> Judgement:
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._validator.judge, question.obj, world)


_CATCH_UP_SECONDS = 0.2
_NEVER = 365 * 86_400.0


def _free_port(address: str) -> int:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as probe:
        port: int = probe.getsockname()[1]
        return port
