"""From an answer of the API server to an exception."""

from __future__ import annotations

import pytest

from fluxgate_operator.errors import OperatorError
from fluxgate_operator.kube.errors import (
    ConflictError,
    ForbiddenError,
    GoneError,
    InvalidError,
    KubeApiError,
    NotFoundError,
    TooManyRequestsError,
    UnauthorizedError,
    api_error,
)

STATUS = {"kind": "Status", "reason": "Because", "message": "it is so"}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (401, UnauthorizedError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (409, ConflictError),
        (410, GoneError),
        (422, InvalidError),
        (429, TooManyRequestsError),
        (500, KubeApiError),
        (418, KubeApiError),
    ],
)
def test_the_code_says_which_error_and_the_status_says_why(code: int, kind: type[KubeApiError]):
    error = api_error(code, STATUS, 2.0)
    assert type(error) is kind
    assert isinstance(error, OperatorError)
    assert str(error) == f"{code} Because: it is so"
    assert (error.code, error.reason, error.retry_after) == (code, "Because", 2.0)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("404 page not found\n", "404: 404 page not found\n"),
        ("", "404: no message"),
        (None, "404: no message"),
        ({}, "404: no message"),
        ([1], "404: no message"),
    ],
)
def test_an_answer_that_is_no_status_is_quoted_as_far_as_it_says_anything(body: object, text: str):
    assert str(api_error(404, body)) == text
