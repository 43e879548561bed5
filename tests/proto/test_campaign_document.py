"""The campaign as a document.

Goal: what is written comes back; a signature holds for the very bytes and the very key; a wrong field is named.
Method: values there and back, every byte of a signed set flipped, tables of wrong fields.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from vantel.campaign.document import Campaign, CampaignSet, Collected, Network, hash_of
from vantel.campaign.limits import DOCUMENT_BYTES_MAX, REASONS, CampaignError
from vantel.campaign.signature import new_key, public_keys, sign, verified
from vantel.campaign.text import campaign_of

DOOR = Campaign(
    "door-open", 3, (Collected("Van.*", 0.1, 0.5, 10.0, 0.01), Collected("Vehicle.Speed")), "Van.Door and Vehicle.Speed > 1",
    10.0, 5.0, 10**6, 10**18, 2 * 10**18, 7, False, 30.0, Network.UNMETERED, 3600.0, 86_400.0, "doors",
)  # fmt: skip
TEXT = """
name = "door-open"
version = 3
purpose = "doors"
condition = "Van.Door and Vehicle.Speed > 1"
signals = [{ name = "Van.*", period_s_min = 0.1, deadband = 0.5, silence_s_max = 10, error_bound = 0.01 }, "Vehicle.Speed"]
before_s = 10
after_s = 5
bytes_per_day_max = 1_000_000
start = 2001-09-09T01:46:40Z
end = 2000000000
priority = 7
quiet_s = 30
network = "unmetered"
data_within_s = 3600
hold_s = 86400
"""


def test_a_set_comes_back_and_its_hash_is_that_of_its_bytes() -> None:
    there = CampaignSet("van-1", 9, (DOOR, replace(DOOR, name="b"))).encode()
    assert CampaignSet.decode(there) == CampaignSet("van-1", 9, (DOOR, replace(DOOR, name="b")))
    assert hash_of(there) != hash_of(CampaignSet("van-1", 10, (DOOR,)).encode())


def test_the_text_means_the_campaign() -> None:
    start_s, end_s = 1_000_000_000, 2_000_000_000
    assert campaign_of(TEXT) == replace(DOOR, start_unix_ns=start_s * 10**9, end_unix_ns=end_s * 10**9)


def test_a_signature_holds_for_its_key_and_its_bytes_alone() -> None:
    (private, public), (other, _) = new_key(), new_key()
    keys = public_keys(new_key()[1] + public)
    whole = CampaignSet("van-1", 9, (DOOR,)).encode()
    signed = sign(whole, private)
    assert verified(signed, keys) == whole
    with pytest.raises(CampaignError, match="signature"):
        verified(sign(whole, other), keys)
    with pytest.raises(CampaignError, match="no_key"):
        verified(signed, ())
    for at in range(len(signed)):
        damaged = bytearray(signed)
        damaged[at] ^= 1
        with pytest.raises(CampaignError, match=r"signature|malformed"):
            verified(bytes(damaged), keys)


def test_keys_that_are_none_are_named() -> None:
    with pytest.raises(ValueError, match="0 public keys"):
        public_keys(b"")
    with pytest.raises(ValueError, match="key 1"):
        public_keys(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    with pytest.raises(ValueError, match="campaign key"):
        sign(b"", b"no key")


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Door"}, {"name": "x" * 65}, {"version": 0}, {"signals": ()}, {"signals": (Collected("a'b"),)},
        {"signals": (Collected("a", -1.0),)}, {"signals": (Collected("a", float("nan")),)}, {"condition": ""},
        {"signals": tuple(Collected(f"s{n}") for n in range(300))}, {"before_s": 301.0}, {"after_s": 0.0},
        {"after_s": float("nan")}, {"bytes_per_day_max": 0}, {"hold_s": 1e9}, {"end_unix_ns": 1},
        {"repeat": True, "after_s": 0.5}, {"condition": "x" * 5000}, {"purpose": "x" * 600}, {"quiet_s": float("inf")},
    ],
    ids=str,
)  # fmt: skip
def test_a_field_out_of_range_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(CampaignError) as caught:
        replace(DOOR, **wrong).check()
    assert caught.value.reason in REASONS


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("version = 3", "version = '3'"), "version"), (("before_s", "befor_s"), "did you mean before_s"),
        (("after_s = 5", ""), "missing: after_s"), (('"unmetered"', '"wifi"'), "network"),
        (("signals = [", "signals = [3, "), "signals"), (("= 2001-09-09T01:46:40Z", "= 'noon'"), "is no time"),
        (("quiet_s = 30", "quiet_s = true"), "quiet_s"), (("[{ name", "{ name"), "TOML"),
    ],
    ids=str,
)  # fmt: skip
def test_a_mistake_in_the_text_is_told(change: tuple[str, str], said: str) -> None:
    with pytest.raises(CampaignError, match=said):
        campaign_of(TEXT.replace(*change))


def test_sets_that_are_none() -> None:
    with pytest.raises(CampaignError, match="duplicate"):
        CampaignSet.decode(CampaignSet("van-1", 1, (DOOR, DOOR)).encode())
    with pytest.raises(CampaignError, match="malformed"):
        CampaignSet.decode(CampaignSet("", 1, (DOOR,)).encode())
    with pytest.raises(CampaignError, match="too_large"):
        CampaignSet.decode(bytes(DOCUMENT_BYTES_MAX + 1))
