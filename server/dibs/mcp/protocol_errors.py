"""Refusals of requests that are no calls of tools: the protocol's own errors, with the refusal as their data."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from mcp.shared.exceptions import MCPError
from mcp.types import INTERNAL_ERROR, INVALID_PARAMS

from dibs_schema.refusals import Refusal, Unavailable

logger = logging.getLogger(__name__)


@contextmanager
def in_words_of_the_protocol(uri: str | None = None) -> Iterator[None]:
    """Turn refusals, and what nobody foresaw, into the protocol's own errors."""
    try:
        yield
    except Refusal as refusal:
        code = INTERNAL_ERROR if isinstance(refusal, Unavailable) else INVALID_PARAMS
        about = {} if uri is None else {"uri": uri[:200]}
        raise MCPError(code=code, message=refusal.message, data=about | refusal.answer()) from refusal
    except MCPError:
        raise
    except Exception as error:
        # The SDK would send its words, which may be a library's.
        logger.exception("a request failed")
        raise MCPError(code=INTERNAL_ERROR, message="Dibs made an error; its log says which.") from error
