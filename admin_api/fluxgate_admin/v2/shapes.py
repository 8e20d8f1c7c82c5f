"""Shapes that several answers share. They describe; what is sent is built by hand, and tests compare the two."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SyncWord = Literal["propagated_to_all_nodes", "pending", "rejected"]
StateWord = Literal["active", "disabled", "invalid", "rejected", "pending"]
UntriedWord = Literal["Refused", "OutOfTime", "NoEnvoy", "EnvoySilent"]

OPEN = ConfigDict(extra="forbid")


UNTRIED: Any = Field(
    description="Why the change was not tried to its end: what is checked first refuses it, time ran out, there is "
    "no Envoy to ask, or it gave no answer. Null when it was, whether or not Envoy had to be asked."
)


class ConditionShape(BaseModel):
    """One condition, as `kubectl get` shows it."""

    model_config = OPEN

    type: str = Field(examples=["Programmed"])
    status: bool
    reason: str = Field(examples=["Programmed"])
    message: str = Field(examples=["every node serves it"])


class LaggardShape(BaseModel):
    """A node that does not serve the change yet."""

    model_config = OPEN

    node: str = Field(examples=["envoy-7d4b9-x2x8v"])
    reason: Literal["Disconnected", "NotAcknowledged", "Rejected", "NotServing"]
    message: str


class ProblemShape(BaseModel):
    """One thing wrong, or worth reading."""

    model_config = OPEN

    pointer: str | None = Field(
        default=None, description="JSON pointer into the body.", examples=["/match/path"]
    )
    parameter: str | None = Field(default=None, description="Of a parameter: its name.")
    in_: Literal["query", "header", "path"] | None = Field(default=None, alias="in")
    message: str
    reason: str | None = Field(default=None, examples=["Invalid"])
    source: Literal["schema", "translation", "envoy", "trial", "store"] | None = Field(
        default=None,
        description="Who found it; `envoy` is the real proxy, `trial` says that not everything was tried, `store` is "
        "what keeps the objects: the API server with quotas, policies and webhooks, or the folder.",
    )
    object: str | None = Field(
        default=None, description="Who suffers, when it is not what the request changes."
    )


class ErrorShape(BaseModel):
    """Every refusal."""

    model_config = ConfigDict(extra="allow")

    error: str = Field(description="A stable word.", examples=["scope_mismatch"])
    message: str = Field(
        description="For people.",
        examples=[
            "Token lacks routes:write permission. Contact org admin to elevate service account."
        ],
    )
    request_id: str = Field(examples=["req_77f2a9c1"])
    problems: list[ProblemShape] | None = None
    used_by: list[str] | None = Field(default=None, description="With `in_use`.")
    scope: str | None = Field(default=None, description="With `scope_mismatch`.")


class EnvoyChangeShape(BaseModel):
    """One resource of Envoy's that a change touches."""

    model_config = OPEN

    gateway: str
    type: str
    name: str
    change: Literal["added", "changed", "removed"]


class ObjectDiffShape(BaseModel):
    """What changes of one object, as a unified diff of YAML."""

    model_config = OPEN

    object: str = Field(examples=["Route default/payments-service-v2"])
    diff: str


class DifferenceShape(BaseModel):
    """What a change would do."""

    model_config = OPEN

    objects: list[ObjectDiffShape]
    routes: list[EnvoyChangeShape]
    envoy: list[EnvoyChangeShape]


class TrialShape(BaseModel):
    """What a dry run found; nothing is stored."""

    model_config = OPEN

    valid: bool
    problems: list[ProblemShape]
    warnings: list[ProblemShape]
    diff: DifferenceShape
    checked_by_envoy: bool = Field(
        description="Whether the real Envoy has answered; not when nothing changes for it."
    )
    not_tried: UntriedWord | None = UNTRIED
    cached: bool
    note: str | None = Field(description="What was not tried, and why.")


class WriteShape(BaseModel):
    """What every answer to a write says."""

    model_config = OPEN

    id: str
    status: StateWord
    created_at: str | None
    sync_status: SyncWord
    sync_message: str | None = None
    pending_nodes: list[LaggardShape] | None = Field(
        default=None, description="With `pending`: who does not serve it yet, and why."
    )
    hidden_nodes: int | None = Field(
        default=None, description="How many more there are, of gateways you do not see."
    )
    warnings: list[ProblemShape] | None = None


class DeletedShape(BaseModel):
    """The answer to a deletion that has not reached every node yet, or has warnings."""

    model_config = OPEN

    id: str
    status: Literal["deleted"]
    sync_status: SyncWord
    sync_message: str | None = None
    pending_nodes: list[LaggardShape] | None = None
    hidden_nodes: int | None = None
    warnings: list[ProblemShape] | None = None
