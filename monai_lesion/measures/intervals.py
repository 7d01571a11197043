"""A size that is only known to lie between two others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from monai_lesion.measures.sizes import Quantity


@dataclass(frozen=True)
class Interval:
    """Where the true size lies.

    Args:
        low: lower end.
        high: upper end, in the same unit.
        level: probability that the size lies between them.

    Example:
        >>> size = Interval(Quantity(9.14, "mm"), Quantity(11.4, "mm"), 0.9)
        >>> print(size, size.to_dict())
        9.1-11.4 mm {'low': 9.14, 'high': 11.4, 'unit': 'mm', 'level': 0.9}
    """

    low: Quantity
    high: Quantity
    level: float

    def to_dict(self) -> dict[str, Any]:
        """Ends, unit and level, for JSON."""
        ends = {"low": round(self.low.value, 3), "high": round(self.high.value, 3)}
        return {**ends, "unit": self.low.unit, "level": self.level}

    def __str__(self) -> str:
        """Both ends with their unit, for reports."""
        return f"{str(self.low).split(' ')[0]}-{self.high}"
