"""`evaldebt.*.v1`: a breach that no evaluation case covers yet, with owner and due date."""

from __future__ import annotations

from pydantic import Field

from monitor.core.budget import Tier
from monitor.core.decision import Reason
from monitor.core.eval_debt import Check
from monitor.wire.evidence import Evidence
from monitor.wire.shared import Cohort, Message, Moment, Name, ReleaseData, Text


class SkeletonCase(Message):
    """A case to begin from: the traces are the exemplars, and this is what a good answer to one has to be."""

    title: Text
    expect: Text
    check: Check = Field(description="How it can be judged.")
    most: float | None = Field(description="The most a measured check allows, in its unit; null for others.")


class EvalDebtCreated(ReleaseData):
    """Every breach that pages or rolls back opens one."""

    debt_id: Name
    objective: str | None
    metric: str | None
    cohort: Cohort
    tier: Tier | None = None
    reason: Reason | None = None
    owner: str | None = Field(description="The budget's owner; null where it names none.")
    decided_at: Moment
    due_at: Moment
    failure_classes: list[Name]
    exemplars: list[Name] = Field(description="Trace ids, never content.")
    case: SkeletonCase | None = Field(None, description="Null in events of before it was there.")
    evidence: Evidence | None = Field(None, description="Of the breach, as its decision has it.")
    follow_ups: list[Name] = Field(description="As the budget lists them.")
    summary: Text


class EvalDebtClosed(ReleaseData):
    """An evaluation case covers it now."""

    debt_id: Name
    objective: str | None
    cohort: Cohort
    author: Name
    note: str
    evaluation: str | None = Field(None, description="Where the case is.")
    decided_at: Moment
    summary: Text
