from __future__ import annotations

import pytest

from apps.redaction import redacted, redacted_difference


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("storage: postgresql://me:hunter2@host/db", "storage: postgresql://me:***@host/db"),
        ('"postgresql://me:p@ss/w?rd@host/db"', '"postgresql://me:***@host/db"'),
        ("postgresql://host/db?password=hunter2&user=me", "postgresql://host/db?password=***&user=me"),
        ("export PGPASSWORD=hunter2 HOME=/root", "export PGPASSWORD=*** HOME=/root"),
        ("+password: hunter2", "+password: ***"),
        ("{'db_password': 'hunter 2', 'x': 1}", "{'db_password': '***', 'x': 1}"),
        ("login(token='hf_abcdefghijKLMNOPQRST')", "login(token='***')"),
        ("HF_TOKEN=hunter2", "HF_TOKEN=***"),
    ],
)
def test_secrets_are_hidden_wherever_they_stand(text: str, shown: str) -> None:
    assert redacted(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "pad_token: <pad>",
        "max_tokens: 128",
        "postgresql://me@host:5432/db",
        "http://localhost:6006/",
        "# a password stands before the host",
    ],
)
def test_what_a_run_computes_with_stays(text: str) -> None:
    assert redacted(text) == text


def test_the_password_of_this_process_is_hidden_in_any_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NINES_STORAGE_PASSWORD", "correct horse")
    assert redacted("connect('me', 'correct horse')") == "connect('me', '***')"


def test_names_in_python_are_no_values_while_text_in_quotes_is() -> None:
    code = "+url = make(password=password_of())\n+password = 'hunter2'\n"
    both = f"diff --git a/x.py b/x.py\n{code}diff --git a/y.sh b/y.sh\n+password=hunter2\n"
    assert redacted_difference(both) == (
        "diff --git a/x.py b/x.py\n+url = make(password=password_of())\n+password = '***'\n"
        "diff --git a/y.sh b/y.sh\n+password=***\n"
    )
