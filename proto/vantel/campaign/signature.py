"""Signed campaign sets: Ed25519 (RFC 8032) over a context and the bytes of the set. The one file that knows `cryptography`.

The operators hold the private key, each van a file of public ones: a broker, or whoever can write to it, cannot make a
van collect anything. The signature is over bytes, not over a message parsed and written anew, so nothing depends on how
a release serialises. CampaignError (signature, no_key, malformed, too_large) for what does not fit.
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from google.protobuf.message import DecodeError

from vantel.campaign.limits import DOCUMENT_BYTES_MAX, CampaignError
from vantel.telemetry.v1 import downlink_pb2

_CONTEXT = b"vantel campaign set v1\x00"
KEYS_MAX = 16
KEY_FILE_BYTES_MAX = 64 * 1024
_END = b"-----END PUBLIC KEY-----"


def new_key() -> tuple[bytes, bytes]:
    """A new pair as PEM: private (PKCS #8, not encrypted), public."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private, public


def sign(campaign_set: bytes, private_pem: bytes) -> bytes:
    """What lies on down/campaign. ValueError for a key that is no Ed25519 key."""
    try:
        key = serialization.load_pem_private_key(private_pem, password=None)
    except (ValueError, TypeError) as cause:
        raise ValueError(f"no private key in PEM: {cause}; `vantel-cloud campaign key` makes one") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("the key is no Ed25519 key; `vantel-cloud campaign key` makes one")
    signed = downlink_pb2.SignedCampaignSet(
        campaign_set=campaign_set, signature=key.sign(_CONTEXT + campaign_set)
    )
    return signed.SerializeToString()


def public_keys(pem: bytes) -> tuple[Ed25519PublicKey, ...]:
    """The keys of a file of PEM public keys, one after the other. ValueError names the one that is none."""
    keys = []
    for at, part in enumerate(pem[:KEY_FILE_BYTES_MAX].split(_END)[:-1], start=1):
        try:
            key = serialization.load_pem_public_key(part.strip() + b"\n" + _END + b"\n")
        except ValueError as cause:
            raise ValueError(f"key {at}: {cause}") from None
        if not isinstance(key, Ed25519PublicKey):
            raise ValueError(f"key {at} is no Ed25519 key")
        keys.append(key)
    if not 0 < len(keys) <= KEYS_MAX:
        raise ValueError(f"{len(keys)} public keys, 1 to {KEYS_MAX} are allowed")
    return tuple(keys)


def verified(data: bytes, keys: Sequence[Ed25519PublicKey]) -> bytes:
    """The bytes of the campaign set, if one of the keys signed them."""
    if len(data) > DOCUMENT_BYTES_MAX + 1024:
        raise CampaignError("too_large", f"{len(data)} bytes, at most {DOCUMENT_BYTES_MAX + 1024}")
    try:
        signed = downlink_pb2.SignedCampaignSet.FromString(data)
    except DecodeError as cause:
        raise CampaignError("malformed", f"{len(data)} bytes are no signed campaign set: {cause}") from None
    if not keys:
        raise CampaignError("no_key", "this van has no key of an operator; set campaign.keys_file")
    for key in keys:
        try:
            key.verify(signed.signature, _CONTEXT + signed.campaign_set)
        except InvalidSignature:
            continue
        return signed.campaign_set
    raise CampaignError("signature", "none of this van's keys signed it")
