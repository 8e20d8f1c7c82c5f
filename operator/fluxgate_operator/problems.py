"""What is wrong with a file of the configuration folder."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class FileProblem:
    """One problem at one place. ``line`` and ``column`` count from one; 0 is the whole file.

    ``subject`` names the object (``Route default/orders``) as far as it could be read.
    """

    file: str
    line: int
    column: int
    message: str
    subject: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return (
            f"{place}: {self.subject}: {self.message}"
            if self.subject
            else f"{place}: {self.message}"
        )
