"""What every section of the settings is: frozen, with each key known and bounded."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A section of the settings: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
