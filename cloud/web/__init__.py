"""The page: what people see of the fleet, on loopback, without a login (docs/architecture.md)."""

from __future__ import annotations

from cloud.web.process import run_web

__all__ = ["run_web"]
