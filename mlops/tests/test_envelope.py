from __future__ import annotations

import pytest

from mlops.envelope import MAX_ADDRESS_BYTES, MAX_HEADER_BYTES

PROTOCOL = "/api/2.0/mlflow/runs/get"
REST = "/api/v1/organizations/"


def padded(path: str, size: int) -> str:
    return f"{path}?a={'x' * (size - len(path) - 2)}"


@pytest.mark.parametrize("path", [PROTOCOL, REST])
def test_an_address_is_read_up_to_its_limit(alice_in_fraud, path):
    fits = alice_in_fraud.get(padded(path, MAX_ADDRESS_BYTES))
    assert fits.status_code == 400  # the parameters: it has been read
    response = alice_in_fraud.get(padded(path, MAX_ADDRESS_BYTES + 1))
    assert response.status_code == 414
    assert b"at most 8192" in response.content


@pytest.mark.parametrize("path", [PROTOCOL, REST])
def test_headers_are_read_up_to_their_limit(alice_in_fraud, path):
    def with_headers(size):
        headers = {f"x-{n:02}": "v" * 1000 for n in range(size // 1000)}
        return alice_in_fraud.get(path, headers=headers)

    assert with_headers(MAX_HEADER_BYTES - 3000).status_code in (200, 400)
    response = with_headers(MAX_HEADER_BYTES + 3000)
    assert response.status_code == 431
    assert b"at most 32768" in response.content


def test_each_skin_says_it_in_its_own_form(stranger):
    rest = stranger.get(padded(REST, 9000)).json()
    assert rest["error"]["code"] == "address_too_long"
    mlflow = stranger.get(padded(PROTOCOL, 9000)).json()
    assert mlflow["error_code"] == "BAD_REQUEST"
    page = stranger.get(padded("/admin/login/", 9000))
    assert page.status_code == 414
    assert page["Content-Type"].startswith("text/plain")
