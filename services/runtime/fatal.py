"""A failure that ends the process at start, said in one sentence that tells a person what to do.

`run` prints it as the last line, `FATAL: …`, and exits with code 1. Raise it only for what waiting cannot
cure: a taken port, a full disk, a wrong setting, a method without a policy, a stream configured otherwise.
"""

from __future__ import annotations


class FatalError(Exception):
    """Its message is the sentence: what is wrong, where, and what to do about it."""


class WrongSettings(FatalError):
    """`sentences`: one about each variable that is wrong."""

    def __init__(self, *sentences: str) -> None:
        super().__init__(f"wrong settings: {'; '.join(sentences)}")
        self.sentences = sentences
