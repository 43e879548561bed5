"""The ramp of a rollout: canaries first, the rest when they are well, an automatic stop when one is not.

roll_out() moves through the stages with functions that send and look, so that it knows no broker. Times in s.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cloud.campaigns.desired import share_of
from vantel.captures import CampaignState, CampaignStatus

LOOK_S = 0.2
FINE = (CampaignStatus.ACTIVE, CampaignStatus.WAITING)

Send = Callable[[Sequence[str]], Awaitable[None]]
Look = Callable[[Sequence[str]], Mapping[str, "CampaignState | str | None"]]
"""Vans -> state, the reason of a refused set as text, or None while a van has not answered."""


@dataclass(slots=True)
class Outcome:
    """stopped: why the rollout stopped itself; empty when it went through. silent: vans that did not answer."""

    sent: list[str] = field(default_factory=list)
    states: dict[str, str] = field(default_factory=dict)
    stopped: str = ""
    answered_s: float = 0.0

    @property
    def silent(self) -> list[str]:
        """Vans that have not answered."""
        return [van for van, state in self.states.items() if state == "no answer"]


def percents_of(ramp: str, percent: float) -> list[float]:
    """Shares of all chosen vans out of an operator's `1,10,100`; ValueError when they are none or do not rise."""
    shares = [float(part) for part in ramp.split(",")]
    rising = all(low < high for low, high in zip([0.0, *shares], [*shares, math.inf], strict=True))
    if not rising or shares[-1] > 100.0 or not percent > 0.0:
        raise ValueError("shares rise, and lie above 0 and up to 100 percent")
    return [share * percent / 100.0 for share in shares]


def stages(vans: Sequence[str], name: str, percents: Sequence[float]) -> list[list[str]]:
    """The vans that each stage adds."""
    done: set[str] = set()
    found = []
    for percent in percents:
        part = [van for van in share_of(vans, name, percent) if van not in done]
        done.update(part)
        if part:
            found.append(part)
    return found


def shown(state: CampaignState | str | None) -> str:
    """A state for people and programs."""
    if state is None:
        return "no answer"
    if isinstance(state, str):
        return f"refused: {state}"
    word = state.status.name.lower()
    if state.status is not CampaignStatus.REJECTED:
        return word
    where = f" at character {state.position}" if state.position >= 0 else ""
    return f"{word}: {state.reason}{where}: {state.detail}"


def problem_of(states: Mapping[str, CampaignState | str | None]) -> str:
    """Why a rollout must not go on; empty when nothing speaks against it."""
    bad = {
        van: state
        for van, state in states.items()
        if isinstance(state, str) or (state and state.status not in FINE)
    }
    if not bad:
        return ""
    van, state = next(iter(sorted(bad.items())))
    more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
    return f"{van}{more}: {shown(state)}"


async def roll_out(
    parts: Sequence[Sequence[str]], send: Send, look: Look, soak_s: float, wait_s: float,
    clock: Callable[[], float], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Outcome:  # fmt: skip
    """Send stage by stage. A stage is over when its vans have answered (at most wait_s) and soak_s have passed well."""
    outcome = Outcome()
    for at, part in enumerate(parts):
        sent_s = clock()
        await send(part)
        outcome.sent += part
        soaked_s = soak_s if at + 1 < len(parts) else 0.0
        while True:
            states = look(outcome.sent)
            outcome.states = {van: shown(state) for van, state in states.items()}
            outcome.stopped = problem_of(states)
            answered = all(state is not None for state in states.values())
            if answered and not outcome.answered_s:
                outcome.answered_s = clock() - sent_s
            passed_s = clock() - sent_s
            if outcome.stopped or (passed_s >= soaked_s and (answered or passed_s >= wait_s)):
                break
            await sleep(LOOK_S)
        if outcome.stopped:
            return outcome
    return outcome
