"""What every refusal over HTTP has to be: a whole problem (RFC 9457), with a sentence."""

import httpx


def problem(answer: httpx.Response, status: int, code: str, *, field: str | None = None) -> str:
    """Check that it is a whole problem; give its sentence."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert (said["status"], said["code"], said.get("field")) == (status, code, field)
    assert said["title"]
    assert len(said["detail"].split()) >= 4, "a sentence"
    assert said["request_id"] == answer.headers["request-id"]
    return str(said["detail"])
