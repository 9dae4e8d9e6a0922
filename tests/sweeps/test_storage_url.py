"""No password stays in a URL or a word of a command line, whatever its form."""

import os

import pytest

from nines.errors import SweepError
from sweeps.storage_url import PASSWORD_VARIABLE, absolute_url, move_passwords, split_password


@pytest.mark.parametrize(
    ("url", "shown", "password"),
    [
        ("postgresql://u:p@h/d", "postgresql://u@h/d", "p"),
        ("postgresql+psycopg://u:p%40ss%2F@h:5432/d", "postgresql+psycopg://u@h:5432/d", "p@ss/"),
        ("mysql+pymysql://u:p@h/d?charset=utf8", "mysql+pymysql://u@h/d?charset=utf8", "p"),
        ("postgresql://:p@h/d", "postgresql://@h/d", "p"),
        ("postgresql://h/d?user=u&password=p%20q&sslmode=require", "postgresql://h/d?user=u&sslmode=require", "p q"),
        ("postgresql://h/d?password=p", "postgresql://h/d", "p"),
        # Not valid, since @, / and ? are to be quoted; the password is taken out all the same.
        ("postgresql://u:p@ss@h/d", "postgresql://u@h/d", "p@ss"),
        ("postgresql://u:p/ss@h/d", "postgresql://u@h/d", "p/ss"),
        ("postgresql://u:p?ss@h/d", "postgresql://u@h/d", "p?ss"),
    ],
)
def test_a_password_is_taken_out_of_a_url_and_decoded(url, shown, password):
    assert split_password(url) == (shown, password)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u@h/d",
        "postgresql://h:5432/d",
        "postgresql:///d?host=/var/run",
        "sqlite:////data/a:b@c/study.db",
        "journal:/data/a:b@c",
        "oracle://",
    ],
)
def test_a_url_without_a_password_stays_as_it_is(url):
    assert split_password(url) == (url, None)


def test_an_empty_password_is_none_and_keeps_the_variable(monkeypatch):
    environment = {PASSWORD_VARIABLE: "kept"}
    assert move_passwords(["storage=postgresql://u:@h/d"], environment) == ["storage=postgresql://u@h/d"]
    assert environment == {PASSWORD_VARIABLE: "kept"}


@pytest.mark.parametrize("word", ["storage=%s", "+storage=%s", "storage='%s'", 'storage="%s"', "%s"])
def test_words_of_a_command_line_lose_their_passwords(word):
    environment = {}
    words = ["sweep", word % "postgresql://u:secret@h/d", "module.lr=1"]
    assert move_passwords(words, environment) == ["sweep", word % "postgresql://u@h/d", "module.lr=1"]
    assert environment == {PASSWORD_VARIABLE: "secret"}


def test_other_words_with_colons_and_at_signs_are_left_alone():
    words = ["data.path=hub://a:b@c", "name=a:b@c", "storage=journal:/a:b@c"]
    environment = {}
    assert move_passwords(words, environment) == words
    assert environment == {}


def test_an_absolute_url_holds_no_password(monkeypatch):
    monkeypatch.setenv(PASSWORD_VARIABLE, "another")
    assert absolute_url("postgresql://u:secret@h/d") == "postgresql://u@h/d"
    assert os.environ[PASSWORD_VARIABLE] == "secret"


@pytest.mark.parametrize("url", ["postgresql:/u:secret@h/d", "u:secret@h/d", "postgresql:u:secret@h/d"])
def test_what_is_no_url_is_refused_without_its_password(url):
    with pytest.raises(SweepError, match="neither journal:<file> nor a SQLAlchemy URL") as caught:
        absolute_url(url)
    assert "secret" not in str(caught.value)
