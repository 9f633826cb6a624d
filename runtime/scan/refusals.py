"""A command that is not obeyed: one error, with a code for machines and a sentence for people."""

from __future__ import annotations

from cellwright.io.messages import ReplyCode


class RefusedError(Exception):
    """What was asked is not possible; the sentence says why and what to do."""

    def __init__(self, code: ReplyCode, text: str) -> None:
        super().__init__(text)
        self.code = code
