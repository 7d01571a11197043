"""To whom each file of the page may connect."""

from __future__ import annotations

import pytest

from monai_lesion.page.headers import POLICIES, TYPES, apache, headers_of, nginx


def test_the_worker_may_not_connect_and_the_page_only_to_its_own_server() -> None:
    assert "connect-src 'none'" in headers_of("worker.js")["Content-Security-Policy"]
    assert "connect-src 'self'" in headers_of("index.html")["Content-Security-Policy"]
    assert all(
        "default-src 'none'" in policy and "unsafe-eval" not in policy.replace("wasm-unsafe-eval", "")
        for policy in POLICIES.values()
    )


@pytest.mark.parametrize("ending", TYPES)
def test_each_kind_of_file_has_its_type(ending: str) -> None:
    assert headers_of(f"folder/file{ending}")["Content-Type"] == TYPES[ending]


def test_headers_of_both_servers_are_set_for_the_worker_alone() -> None:
    assert f'<Files "worker.js">\n  Header always set Content-Security-Policy "{POLICIES["worker.js"]}"' in apache()
    assert f'if ($uri ~ /worker[.]js$) {{ set $policy "{POLICIES["worker.js"]}"; }}' in nginx()
