from __future__ import annotations

import stat
import threading

import pytest
from django.core.exceptions import ImproperlyConfigured

from mlops import env


def test_text_is_the_default_when_unset(monkeypatch):
    monkeypatch.delenv("COLOR", raising=False)
    assert env.text("COLOR", "red") == "red"
    assert env.text("COLOR") == ""


def test_text_is_the_value_when_set(monkeypatch):
    monkeypatch.setenv("COLOR", "blue")
    assert env.text("COLOR", "red") == "blue"


@pytest.mark.parametrize("raw", ["1", "true", "True", "YES", "on"])
def test_flag_is_true(monkeypatch, raw):
    monkeypatch.setenv("DEBUG", raw)
    assert env.flag("DEBUG") is True


@pytest.mark.parametrize("raw", ["0", "false", "False", "NO", "off", ""])
def test_flag_is_false_whatever_the_default(monkeypatch, raw):
    monkeypatch.setenv("DEBUG", raw)
    assert env.flag("DEBUG", True) is False


def test_flag_is_the_default_when_unset(monkeypatch):
    monkeypatch.delenv("DEBUG", raising=False)
    assert env.flag("DEBUG") is False
    assert env.flag("DEBUG", True) is True


def test_flag_refuses_nonsense_by_name_and_value(monkeypatch):
    monkeypatch.setenv("DEBUG", "perhaps")
    with pytest.raises(ImproperlyConfigured, match="DEBUG='perhaps'"):
        env.flag("DEBUG")


@pytest.mark.parametrize("raw,expected", [("8080", 8080), ("-1", -1), ("", 5)])
def test_number_reads_whole_numbers(monkeypatch, raw, expected):
    monkeypatch.setenv("PORT", raw)
    assert env.number("PORT", 5) == expected


def test_number_is_the_default_when_unset(monkeypatch):
    monkeypatch.delenv("PORT", raising=False)
    assert env.number("PORT", 8000) == 8000


@pytest.mark.parametrize("raw", ["80a", "8.5", "eighty"])
def test_number_refuses_nonsense_by_name_and_value(monkeypatch, raw):
    monkeypatch.setenv("PORT", raw)
    with pytest.raises(ImproperlyConfigured, match=f"PORT='{raw}'"):
        env.number("PORT", 8000)


@pytest.mark.parametrize(
    "raw,expected",
    [("", []), ("a", ["a"]), (" a , b,,c ", ["a", "b", "c"]), (",", [])],
)
def test_words_ignore_blanks(monkeypatch, raw, expected):
    monkeypatch.setenv("ALLOWED_HOSTS", raw)
    assert env.words("ALLOWED_HOSTS") == expected


def test_words_fall_back_to_the_default(monkeypatch):
    monkeypatch.delenv("ALLOWED_HOSTS", raising=False)
    assert env.words("ALLOWED_HOSTS", "a,b") == ["a", "b"]


@pytest.fixture
def no_secret(monkeypatch):
    for name in ("KEY", "KEY_FILE"):
        monkeypatch.delenv(name, raising=False)


def test_secret_is_the_variable_before_any_file(monkeypatch, tmp_path):
    file = tmp_path / "key"
    file.write_text("from the file\n")
    monkeypatch.setenv("KEY", "from the variable")
    monkeypatch.setenv("KEY_FILE", str(file))
    assert env.secret("KEY", kept_in=tmp_path / "kept") == "from the variable"
    assert not (tmp_path / "kept").exists()


def test_secret_is_read_from_the_named_file_without_its_line_end(
    no_secret, monkeypatch, tmp_path
):
    file = tmp_path / "key"
    file.write_text("from the file\n")
    monkeypatch.setenv("KEY_FILE", str(file))
    assert env.secret("KEY") == "from the file"


def test_secret_says_what_to_set_when_nothing_holds_it(no_secret):
    with pytest.raises(ImproperlyConfigured, match="Set KEY or KEY_FILE"):
        env.secret("KEY")


def test_secret_is_made_once_and_kept_from_others(no_secret, tmp_path):
    kept = tmp_path / "secrets" / "key"
    made = env.secret("KEY", kept_in=kept)
    assert len(made) >= 48
    assert env.secret("KEY", kept_in=kept) == made
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700


def test_secret_is_another_in_another_place(no_secret, tmp_path):
    first = env.secret("KEY", kept_in=tmp_path / "first")
    assert env.secret("KEY", kept_in=tmp_path / "second") != first


def test_secret_is_one_for_all_who_race_to_make_it(no_secret, tmp_path):
    kept = tmp_path / "key"
    start = threading.Barrier(8)
    seen = []

    def ask() -> None:
        start.wait()
        seen.append(env.secret("KEY", kept_in=kept))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len(set(seen)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_networks_are_read_as_a_list(monkeypatch):
    monkeypatch.setenv("NETWORKS", "10.1.0.0/16, ::1/128,192.0.2.7")
    found = [str(network) for network in env.networks("NETWORKS")]
    assert found == ["10.1.0.0/16", "::1/128", "192.0.2.7/32"]
    assert env.networks("ABSENT") == ()


@pytest.mark.parametrize("text", ["10.1.0.1/16", "10.1.0.0/40", "acme.internal"])
def test_networks_that_are_none_stop_the_start(monkeypatch, text):
    monkeypatch.setenv("NETWORKS", text)
    with pytest.raises(ImproperlyConfigured, match="NETWORKS"):
        env.networks("NETWORKS")


def test_secret_is_made_as_it_is_asked_to_be(tmp_path):
    kept = tmp_path / "secrets" / "key"
    assert env.secret("KEY", kept_in=kept, make=lambda: "made so") == "made so"
    assert env.secret("KEY", kept_in=kept, make=lambda: "another") == "made so"


def test_secret_is_replaced_as_a_whole_and_stays_private(tmp_path):
    kept = tmp_path / "secrets" / "key"
    env.secret("KEY", kept_in=kept)
    env.replace_secret(kept, "the next one")
    assert env.secret("KEY", kept_in=kept) == "the next one"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in kept.parent.iterdir()] == ["key"]


def test_given_secret_is_empty_when_nobody_gives_one(monkeypatch, tmp_path):
    monkeypatch.delenv("KEY", raising=False)
    monkeypatch.delenv("KEY_FILE", raising=False)
    assert env.given_secret("KEY") == ""
    (tmp_path / "key").write_text("from the file\n")
    monkeypatch.setenv("KEY_FILE", str(tmp_path / "key"))
    assert env.given_secret("KEY") == "from the file"
