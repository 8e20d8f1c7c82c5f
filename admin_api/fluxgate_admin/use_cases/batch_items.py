"""The objects of a batch, and what becomes of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fluxgate.ports import Stored
from fluxgate.ports.resources import Document
from fluxgate.resources import ObjectRef
from fluxgate_admin.errors import AdminError
from fluxgate_admin.use_cases.batch_order import rank_of
from fluxgate_admin.use_cases.drafts import Draft, Problem, Report
from fluxgate_admin.use_cases.pointers import Pointers, pointer
from fluxgate_admin.use_cases.ports import RevisionChange
from fluxgate_admin.use_cases.proof import Sync


@dataclass(frozen=True, slots=True)
class Item:
    """One object as it shall be; ``document`` None deletes it. ``etag`` is the version it has to be, if given."""

    ref: ObjectRef
    document: Document | None
    etag: str | None = None


@dataclass(slots=True)
class Entry:
    """What became of one item; ``change`` None with no ``error``: it was as it shall be already."""

    index: int
    item: Item
    current: Stored | None = None
    stored: Stored | None = None
    change: RevisionChange | None = None
    error: AdminError | None = None
    warnings: tuple[Problem, ...] = ()
    revision: int | None = None

    @property
    def draft(self) -> Draft:
        """As the pipeline takes it; pointers lead into the batch."""
        place = pointer("objects", self.index)
        if self.item.document is None:
            return Draft(self.item.ref, None, Pointers(base=place))
        return Draft(self.item.ref, self.item.document, Pointers(base=f"{place}/document"))

    @property
    def rank(self) -> int:
        """When it is written."""
        return rank_of(self.item.ref.kind, self.item.document)

    @property
    def changes(self) -> bool:
        """Whether there is something to write, as far as is known."""
        return self.error is None and self.change is not None


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """Every entry in the order the items came in, and who serves what was written."""

    entries: Sequence[Entry]
    sync: Sync
    report: Report = field(default_factory=Report)
    dry_run: bool = False
