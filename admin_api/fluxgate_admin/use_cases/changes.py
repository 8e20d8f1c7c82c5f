"""The way of every write, in one place, for every surface.

authorise -> namespace -> read -> If-Match -> build -> check -> equal -> turn -> references -> trial -> announce -> write
-> record -> seen -> proof; a dry run waits for nobody's turn, and ends with what the write would be told
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial

from fluxgate.api.v1alpha1 import Resource
from fluxgate.errors import (
    ResourceConflictError,
    ResourceError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from fluxgate.ports import ControlPlane, Pending, ResourceClient, Stored
from fluxgate.ports.resources import Document
from fluxgate.resources import ObjectRef
from fluxgate_admin.errors import (
    ConflictError,
    NotFoundError,
    PreconditionFailedError,
    UnprocessableError,
)
from fluxgate_admin.principal import Principal
from fluxgate_admin.use_cases.change_refusals import exists, in_use, missed, unservable
from fluxgate_admin.use_cases.claims import Claims
from fluxgate_admin.use_cases.documents import equal, etag_of_document, parse, read
from fluxgate_admin.use_cases.drafts import Draft, Outcome, Report, WriteOptions
from fluxgate_admin.use_cases.failures import invalid_document, moved, refusals, refused_by_store
from fluxgate_admin.use_cases.policy_configs import check_configs
from fluxgate_admin.use_cases.ports import RevisionChange
from fluxgate_admin.use_cases.proof import DONE, Proofs
from fluxgate_admin.use_cases.reach import check_reach
from fluxgate_admin.use_cases.references import users_of
from fluxgate_admin.use_cases.scopes import require_write
from fluxgate_admin.use_cases.trials import Trials
from fluxgate_admin.use_cases.writer import Writer, Written

ATTEMPTS = 8
"""How often a write that raced with another one is made again on top of it."""

Edit = Callable[[Document | None], Draft]
"""From the document that is there (None: no object) to what it shall be."""


class Must(Enum):
    """What has to be there for a change to be made."""

    EXIST = "exist"
    BE_ABSENT = "be absent"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Seen:
    """The revision that has a write, None when it was too late for that, and the seconds left to prove it."""

    revision: int | None
    seconds: float


class Changes:
    """Makes changes of single objects."""

    def __init__(
        self,
        plane: ControlPlane,
        resources: ResourceClient,
        trials: Trials,
        writer: Writer,
        *,
        seen_seconds: float,
    ) -> None:
        self._plane = plane
        self._resources = resources
        self._trials = trials
        self._writer = writer
        self._seen_seconds = seen_seconds
        self._proofs = Proofs(plane)
        self.claims = Claims()

    async def create(self, principal: Principal, draft: Draft, options: WriteOptions) -> Outcome:
        """A new object. Raises ``ConflictError`` when it is there already."""
        return await self.change(
            principal, draft.ref, lambda _: draft, options, must=Must.BE_ABSENT
        )

    async def delete(self, principal: Principal, ref: ObjectRef, options: WriteOptions) -> Outcome:
        """Delete an object. Raises ``ConflictError`` naming who uses it, unless forced."""
        return await self.change(principal, ref, lambda _: Draft(ref, None), options)

    async def change(
        self,
        principal: Principal,
        ref: ObjectRef,
        edit: Edit,
        options: WriteOptions,
        *,
        must: Must = Must.EXIST,
    ) -> Outcome:
        """Make of an object what ``edit`` makes of its document.

        A write that raced with another is made again on top of it, unless ``If-Match`` forbids that. Raises
        the whole tree of ``AdminError``; after any of them but ``UnavailableError`` nothing was written, nor after
        its ``busy`` and ``not_ready``.
        """
        self.authorise(principal, ref)
        with refusals():
            for _ in range(ATTEMPTS):
                current = await self._current(ref, must, repeatable=options.repeatable)
                self._check_precondition(ref, current, options)
                draft = edit(current.document if current is not None else None)
                self.check_document(draft)
                self.check_reach(principal, draft, partial(read, current))
                if self._is_repeated(current, draft, must):
                    return await self._unchanged(principal, draft, current, options)
                if options.dry_run:
                    report = await self._try(principal, draft, options)
                    tried = await self._write(principal, current, draft, options, must)
                    if tried is None:
                        continue
                    report = report.and_also(tried.doubts(principal, draft))
                    change = _kind_of(current, draft)
                    return Outcome(ref, change, draft.document, DONE, report, dry_run=True)
                async with self.claims.held((draft.document,)):
                    report = await self._try(principal, draft, options)
                    written = await self._write(principal, current, draft, options, must)
                    if written is None:
                        continue
                    self._trials.stored((ref,), report, options)
                    seen = await self.seen([(ref, written.stored)], options)
                return await self._outcome(principal, current, draft, report, written, seen)
        raise ConflictError(f"{ref} is being changed by others all the time; try again.")

    async def _write(
        self,
        principal: Principal,
        current: Stored | None,
        draft: Draft,
        options: WriteOptions,
        must: Must,
    ) -> Written | None:
        """Put the draft in place of what is there; None when somebody was faster and it is to be made again."""
        try:
            return await self._writer.write(principal, current, draft, options)
        except (ResourceConflictError, ResourceExistsError):
            return None
        except ResourceError as error:
            raise refused_by_store(principal, error, draft) from error
        except ResourceNotFoundError as error:
            if current is not None and must is Must.ANY:
                return None
            raise self._gone(draft.ref, current) from error

    def authorise(self, principal: Principal, ref: ObjectRef) -> None:
        """Whether the caller may write the object. Raises ``ScopeMismatchError``, ``NotFoundError``."""
        require_write(principal, ref.kind)
        if not principal.sees(ref.namespace):
            raise NotFoundError(f"There is no {ref}.")
        if ref.source is not None:
            raise ConflictError(
                f"This {ref.kind} is made from {ref.source}; change that instead.", error="managed"
            )

    def check_document(self, draft: Draft) -> None:
        """Whether a draft is a valid object. Raises ``UnprocessableError``."""
        if draft.document is None:
            return
        try:
            check_configs(draft.document, parse(draft.document))
        except ResourceError as error:
            raise invalid_document(error, draft.document, draft.pointers) from error

    def check_reach(
        self, principal: Principal, draft: Draft, before: Callable[[], Resource | None]
    ) -> None:
        """Whether a valid draft stays within what the caller sees. Raises ``UnprocessableError``."""
        if draft.document is None or principal.namespaces is None:
            return
        try:
            check_reach(principal, parse(draft.document), before())
        except UnprocessableError as error:
            raise moved(error, draft.pointers) from error

    def served(self, ref: ObjectRef) -> Resource | None:
        """An object as the control plane has it."""
        found = self._plane.resources().get(ref)
        return found if isinstance(found, Resource) else None

    async def _current(self, ref: ObjectRef, must: Must, *, repeatable: bool) -> Stored | None:
        try:
            current = await self._resources.get(ref)
        except ResourceNotFoundError:
            if must is Must.EXIST:
                raise NotFoundError(f"There is no {ref}.") from None
            return None
        if must is Must.BE_ABSENT and not repeatable:
            raise exists(ref)
        return current

    def _check_precondition(
        self, ref: ObjectRef, current: Stored | None, options: WriteOptions
    ) -> None:
        wanted = options.if_match
        if wanted is None or (current is not None and "*" in wanted):
            return
        if not wanted:
            raise PreconditionFailedError(
                'If-Match names no version: write ETags in quotes, separated by commas: "abc", "def".'
            )
        if current is None or etag_of_document(current.document) not in wanted:
            raise PreconditionFailedError(
                f"{ref} is not the version that If-Match names; read it again."
            )

    def _is_repeated(self, current: Stored | None, draft: Draft, must: Must) -> bool:
        """Whether there is nothing to write: the object is as it shall be."""
        if draft.document is None:
            return current is None
        if current is None:
            return False
        same = equal(current.document, draft.document)
        if must is Must.BE_ABSENT and not same:
            raise exists(draft.ref)
        return same

    async def _unchanged(
        self, principal: Principal, draft: Draft, current: Stored | None, options: WriteOptions
    ) -> Outcome:
        sync = DONE
        if not options.dry_run:
            seconds = options.seconds if options.wait else 0.0
            revision = self._plane.resources().revision
            sync = await self._proofs.of(principal, (draft.ref,), revision, seconds)
        # as it is kept, with the defaults that an API server wrote out: its version is that one's
        document = current.document if current is not None else draft.document
        return Outcome(draft.ref, None, document, sync, stored=current, dry_run=options.dry_run)

    async def _try(self, principal: Principal, draft: Draft, options: WriteOptions) -> Report:
        if draft.document is None and not options.force:
            self.refuse_in_use(principal, draft.ref)
        report = await self._trials.run(principal, (draft,))
        if report.fatal and draft.document is not None:
            raise unservable(report.fatal)
        if report.fatal and not options.force:
            raise missed(draft.ref, report.fatal)
        return report

    def refuse_in_use(
        self, principal: Principal, ref: ObjectRef, leaving: frozenset[ObjectRef] = frozenset()
    ) -> None:
        """Raises ``ConflictError`` with the names of who uses an object, but for those that leave too."""
        users = [
            str(user)
            for user in users_of(ref, self._plane.resources())
            if principal.sees(user.namespace) and user not in leaving
        ]
        if users:
            raise in_use(ref, users)

    def _gone(self, ref: ObjectRef, current: Stored | None) -> NotFoundError:
        if current is not None:
            return NotFoundError(f"There is no {ref}.")
        return NotFoundError(f"There is no namespace {ref.namespace}.")

    async def _outcome(
        self,
        principal: Principal,
        current: Stored | None,
        draft: Draft,
        report: Report,
        written: Written,
        seen: Seen,
    ) -> Outcome:
        return Outcome(
            draft.ref,
            _kind_of(current, draft),
            written.stored.document if written.stored is not None else None,
            await self._proofs.of(principal, (draft.ref,), seen.revision, seen.seconds),
            report,
            written.stored,
            written.revision,
        )

    async def seen(
        self, written: Sequence[tuple[ObjectRef, Stored | None]], options: WriteOptions
    ) -> Seen:
        """Wait until reads and trials see what was written; within the time that is to be waited at all."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + options.seconds
        pending = [Pending(ref, stored.version if stored else "") for ref, stored in written]
        seconds = options.seconds if options.wait else self._seen_seconds
        revision = await self._plane.seen(pending, seconds)
        return Seen(revision, max(0.0, deadline - clock()) if options.wait else 0.0)


def _kind_of(current: Stored | None, draft: Draft) -> RevisionChange:
    if draft.document is None:
        return RevisionChange.DELETED
    return RevisionChange.CREATED if current is None else RevisionChange.UPDATED
