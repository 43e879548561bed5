"""Points in time as people write them.

Goal: one policy for every command and file: UTC where no zone is named, seconds for numbers, ages only where there is a
now; what is no time is none, and says what would be one.
"""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from vantel.campaign.limits import CampaignError
from vantel.campaign.text import campaign_of
from vantel.instant import unix_ns

NOW_S = 1_800_000_000.5
AT_NS = 1_764_144_000 * 10**9
CAMPAIGN = 'name = "a"\nversion = 1\nsignals = ["*"]\ncondition = "true"\nbefore_s = 0\nafter_s = 1\nbytes_per_day_max = 1000\n'


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2025-11-26T08:00", AT_NS), ("2025-11-26T08:00Z", AT_NS), (" 2025-11-26 08:00:00 ", AT_NS),
        ("2025-11-26T09:00+01:00", AT_NS), ("2025-11-26", AT_NS - 8 * 3600 * 10**9), ("1764144000", AT_NS),
        ("1764144000.25", AT_NS + 250_000_000), ("2025-11-26T08:00:00.000001Z", AT_NS + 1000),
        ("90s", 1_799_999_910_500_000_000), ("2h", 1_799_992_800_500_000_000),
    ],
)  # fmt: skip
def test_every_form_gives_its_instant(text: str, wanted: int) -> None:
    assert unix_ns(text, NOW_S) == wanted


@pytest.mark.parametrize(
    "text", ["", "now", "nan", "inf", "-5", "1e9", "1764144000000", "1960-01-01", "2025-13-01", "2 h", "٣s"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no time|before 1970|in seconds"):
        unix_ns(text, NOW_S)


def test_an_age_needs_a_now_and_a_campaign_has_none() -> None:
    with pytest.raises(ValueError, match="is no time"):
        unix_ns("2h")
    with pytest.raises(CampaignError, match="start: '2h' is no time"):
        campaign_of(CAMPAIGN + 'start = "2h"\n')
    when = datetime.fromtimestamp(AT_NS // 10**9, timezone.utc)
    for start in (AT_NS // 10**9, "2025-11-26T08:00:00", "2025-11-26T08:00:00Z", '"2025-11-26T08:00"'):
        assert campaign_of(f"{CAMPAIGN}start = {start}\n").start_unix_ns == AT_NS, (start, when)
