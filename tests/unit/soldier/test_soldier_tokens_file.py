"""A soldier that proves who it is with its pod's ServiceAccount token."""

from pathlib import Path

import pytest

from mission_soldier.tokens import ProjectedToken


def test_the_file_is_read_anew_each_time_because_the_kubelet_renews_it(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    credential = ProjectedToken(file)
    assert credential.request().assertion == "first"
    file.write_text("second")
    asked = credential.request()
    assert (asked.grant_type, asked.assertion, asked.client_secret) == ("service_account", "second", None)


def test_a_missing_file_is_told_and_not_sent(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ProjectedToken(tmp_path / "none").request()
