"""Converts refusals of requests other than tool calls to errors of the protocol, with the refusal as their data."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from mcp.shared.exceptions import MCPError
from mcp.types import INTERNAL_ERROR, INVALID_PARAMS

from dibs_schema.refusals import Refusal, Unavailable

logger = logging.getLogger(__name__)


@contextmanager
def as_protocol_errors(uri: str | None = None) -> Iterator[None]:
    """Convert refusals and unexpected exceptions to MCPError. `uri` is the resource that the request is about."""
    try:
        yield
    except Refusal as refusal:
        code = INTERNAL_ERROR if isinstance(refusal, Unavailable) else INVALID_PARAMS
        about = {} if uri is None else {"uri": uri[:200]}
        raise MCPError(code=code, message=refusal.message, data=about | refusal.answer()) from refusal
    except MCPError:
        raise
    except Exception as error:
        # The SDK would send its message, which may come from a library.
        logger.exception("a request failed")
        raise MCPError(code=INTERNAL_ERROR, message="Dibs has failed; its log says why.") from error
