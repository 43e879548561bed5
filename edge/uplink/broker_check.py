"""Whether this van may talk to its broker: a CONNECT as the agent makes it, and a message that nobody reads.

Settings -> what worked, and problems with cause and fix. TLS, certificate, user and password, the right to write below
the van's own topic. An agent that runs and is connected is not disturbed: two clients with one van.id throw each other
out, and its connection shows all of this already. The message goes below up/, where no bridge listens.
"""

from __future__ import annotations

import time

from edge.settings import EdgeSettings
from edge.status.file import StatusError, is_fresh, read_status
from edge.uplink.link_errors import LinkError, reason_text
from edge.uplink.mqtt import Answered, Link, Waker
from vantel import topics
from vantel.identity import Epoch

ANSWER_S_MAX = 5.0
NOT_AUTHORIZED = 0x87


def try_broker(settings: EdgeSettings) -> tuple[list[str], list[str]]:
    """What worked, and what is wrong."""
    if _agent_is_connected(settings):
        return ["the running agent is connected"], []
    waker = Waker()
    link = Link(settings.van.id, Epoch(0, 0), settings.mqtt, settings.uplink.inflight_max, waker)
    link.look_only()
    try:
        link.open(lambda: False)
        return _try_to_write(link, settings.van.id)
    except LinkError as cause:
        return [], [str(cause)]
    finally:
        link.leave()
        waker.close()


def _agent_is_connected(settings: EdgeSettings) -> bool:
    try:
        status = read_status(settings.van.state_dir)
    except StatusError:
        return False
    return bool(status.get("connected")) and is_fresh(status, settings.health.status_period_s, time.time())


def _try_to_write(link: Link, van: str) -> tuple[list[str], list[str]]:
    """Publish and wait for the answer."""
    topic = topics.death(van).removesuffix("death") + "check/check"
    done = ["connected"]
    mid = link.publish(topic, b"")
    give_up_s = time.monotonic() + ANSWER_S_MAX
    while link.up and (left_s := give_up_s - time.monotonic()) > 0:
        link.step(min(0.2, left_s))
        for event in link.take():
            if isinstance(event, Answered) and event.mid == mid:
                if event.reason == NOT_AUTHORIZED:
                    fix = "its access list knows the certificate or user under another name than van.id"
                    return done, [f"write {topic}: {reason_text(event.reason, event.text)}; {fix}"]
                return [*done, "may write its own topics"], [
                    f"subscribe {refused}; allow it to this van at the broker"
                    for refused in link.refused_topics
                ]
    return done, [f"write {topic}: {link.end or 'no answer'}; look at the broker's log"]
