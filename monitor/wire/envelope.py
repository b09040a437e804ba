"""The CloudEvents envelope as a model: the schema of structured mode."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from monitor.wire.shared import Message, Moment, Name, Sha256


class StructuredEvent(Message):
    """A CloudEvent of this product in structured mode: one JSON object."""

    specversion: Literal["1.0"]
    id: Sha256 = Field(description="The decision id: the same decision has the same one. Drop repeats by it.")
    source: Name = Field(description="A URI reference.")
    type: str = Field(pattern=r"^dev\.rollbackbudget\.[a-z]+\.[a-z]+\.v[0-9]+$")
    subject: Name = Field(description="The release.")
    time: Moment = Field(description="Event time: the tick's, or the incident's.")
    datacontenttype: Literal["application/json"]
    dataschema: Name | None = Field(None, description="`$id` of the data's schema.")
    data: dict[str, Any]
