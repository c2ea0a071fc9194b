"""The status table; that it is complete is checked with the errors themselves."""

from __future__ import annotations

import grpc
import pytest

from serve_app.transport.status import STATUS

OF_THE_CALLER = {
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "UNAUTHENTICATED",
    "UNIMPLEMENTED",
}


@pytest.mark.parametrize("error", STATUS, ids=lambda error: error.__name__)
def test_every_row_names_statuses_that_exist_and_agree(error):
    http, code = STATUS[error]
    assert code in grpc.StatusCode.__members__
    assert http >= 400
    if code != "FAILED_PRECONDITION":  # of the operator, or of the caller
        assert (http < 500 or http == 501) == (code in OF_THE_CALLER)
