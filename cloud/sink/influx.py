"""Synchronous writes to InfluxDB 1.8, 2 and 3 by /api/v2/write. The only file that imports influxdb_client.

Bytes of line protocol, ns -> Answer. gzip on, retries off (the sink has its own), own time limits; foreign exceptions
and statuses end here. Plaintext outside loopback is refused unless the settings name it. Never the batching API: it
drops data after its retries.
"""

from __future__ import annotations

import ssl
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, TypeVar

import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException

from cloud.connection import check_url, read_secret, tls_context, tls_problem
from cloud.settings import InfluxSection
from cloud.sink.sink import Answer

TEXT_CHARS_MAX = 1000
_Cause = TypeVar("_Cause", bound=BaseException)


class InfluxWriter:
    """A Writer. Safe to call from several threads: the client's connection pool is."""

    def __init__(self, settings: InfluxSection) -> None:
        """ConnectionRefused when the settings do not allow or do not make possible the connection."""
        self._settings = settings
        secure = check_url("influx", settings.url, settings.plaintext)
        token = read_secret(settings.token_file, "influx.token_file") if settings.token_file else ""
        context = (
            tls_context("influx", settings.ca_file, settings.certificate_file, settings.key_file)
            if secure
            else None
        )
        self._client: Any = InfluxDBClient(
            url=settings.url,
            token=token,
            org=settings.org,
            enable_gzip=True,
            timeout=(int(settings.connect_s_max * 1000), int(settings.read_s_max * 1000)),
            retries=False,
            ssl_context=context,
        )
        self._api: Any = self._client.write_api(write_options=SYNCHRONOUS)

    def write(self, body: bytes) -> Answer:
        """One request; every end of it is an Answer."""
        try:
            self._api.write(self._settings.bucket, self._settings.org, body, WritePrecision.NS)
        except ApiException as cause:
            text = str(cause.body or cause.reason or "")[:TEXT_CHARS_MAX]
            if not cause.status:
                refused = _found(cause, ssl.SSLError)
                return (
                    Answer(0, tls_problem(refused, "influx"), kind="tls")
                    if refused
                    else Answer(0, text, kind="connection")
                )
            return Answer(int(cause.status), text, retry_after_s(cause.headers))
        except (urllib3.exceptions.TimeoutError, TimeoutError) as cause:
            return Answer(0, str(cause)[:TEXT_CHARS_MAX], kind="timeout")
        except (urllib3.exceptions.HTTPError, OSError) as cause:
            reset = _found(cause, ConnectionResetError) or _found(cause, BrokenPipeError)
            return Answer(0, str(cause)[:TEXT_CHARS_MAX], kind="reset" if reset else "connection")
        return Answer(204)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def retry_after_s(headers: Any) -> float | None:
    """Seconds of a Retry-After header: a number, or a date."""
    value = str((headers or {}).get("Retry-After") or "").strip()
    if not value:
        return None
    try:
        return max(float(value), 0.0)
    except ValueError:
        pass
    try:
        return max(parsedate_to_datetime(value).timestamp() - time(), 0.0)
    except ValueError:
        return None


def _found(cause: BaseException, kind: type[_Cause]) -> _Cause | None:
    """The cause of a kind, such as a connection that was there and was cut; urllib3 hides the first one in its arguments."""
    seen: list[object] = [cause]
    while seen:
        item = seen.pop()
        if isinstance(item, kind):
            return item
        if isinstance(item, BaseException):
            seen += [
                part
                for part in (*item.args, getattr(item, "reason", None), item.__context__)
                if isinstance(part, BaseException)
            ]
    return None
