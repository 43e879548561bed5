"""The files that are made from the code: settings and the page of signals.

Goal: docs/signals.md is what the catalog says; deploy/edge/edge.toml and deploy/cloud/cloud.toml name every key, and
what is commented is the real default.
Method: the files equal what the settings themselves say, and load both as they are and with every default uncommented.
"""

from __future__ import annotations

import re
from pathlib import Path

from cloud.settings import CloudSettings
from cloud.settings import load as load_cloud
from edge.settings import load as load_edge
from vantel_rig.settings_template import cloud_template, edge_template
from vantel_rig.signals_page import signals_page

DEPLOY = Path(__file__).parents[2] / "deploy"
AGAIN = "make it again: python -m vantel_rig.settings_template {0} > deploy/{0}/{0}.toml"


def test_edge_file_is_what_the_settings_say() -> None:
    assert (DEPLOY / "edge" / "edge.toml").read_text(encoding="utf-8") == edge_template(), AGAIN.format(
        "edge"
    )


def test_cloud_file_is_what_the_settings_say() -> None:
    assert (DEPLOY / "cloud" / "cloud.toml").read_text(encoding="utf-8") == cloud_template(), AGAIN.format(
        "cloud"
    )


def test_the_page_of_signals_is_what_the_catalog_says() -> None:
    found = (DEPLOY.parent / "docs" / "signals.md").read_text(encoding="utf-8")
    assert found == signals_page(), "make it again: python -m vantel_rig.signals_page > docs/signals.md"


def test_edge_file_loads_and_changes_no_default() -> None:
    settings = load_edge(DEPLOY / "edge" / "edge.toml")
    assert settings.van.id == "van-001"
    assert [source.kind for source in settings.sources] == ["system"]
    assert settings.spool == type(settings.spool)()


def test_every_commented_default_of_the_cloud_file_is_the_real_one(tmp_path: Path) -> None:
    text = (DEPLOY / "cloud" / "cloud.toml").read_text(encoding="utf-8")
    live = [re.sub(r"^# (\w+ = )", r"\1", line) for line in text.splitlines() if ' = ""' not in line]
    copy = tmp_path / "cloud.toml"
    copy.write_text("\n".join(live), encoding="utf-8")
    assert load_cloud(copy) == CloudSettings()
