"""Attack 33, HTTP smuggling: what two readers could take for two different requests is refused, and the line closed."""

import pytest
from support.bare_http import BareHttp

HOST = b"Host: commander\r\n"
HIDDEN = b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"


def a_post(*headers: bytes, body: bytes = b"") -> bytes:
    return b"POST /token HTTP/1.1\r\n" + HOST + b"".join(line + b"\r\n" for line in headers) + b"\r\n" + body


AMBIGUOUS = {
    "CL.TE": a_post(b"Content-Length: 6", b"Transfer-Encoding: chunked", body=b"0\r\n\r\nG"),
    "TE.CL": a_post(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=b"5c\r\nGPOST /\r\n0\r\n\r\n"),
    "a hidden request behind CL.TE": a_post(
        b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + HIDDEN
    ),
    "two lengths": a_post(b"Content-Length: 3", b"Content-Length: 5", body=b"{}   "),
    "two equal lengths": a_post(b"Content-Length: 2", b"Content-Length: 2", body=b"{}"),
    "a list of lengths": a_post(b"Content-Length: 2, 2", body=b"{}"),
    "a length with a sign": a_post(b"Content-Length: +2", body=b"{}"),
    "a negative length": a_post(b"Content-Length: -2", body=b"{}"),
    "a length in hex": a_post(b"Content-Length: 0x2", body=b"{}"),
    "a length with a word": a_post(b"Content-Length: 2 two", body=b"{}"),
    "a length beyond all numbers": a_post(b"Content-Length: " + b"9" * 40, body=b"{}"),
    "an unknown coding": a_post(b"Transfer-Encoding: xchunked", body=b"2\r\n{}\r\n0\r\n\r\n"),
    "chunked is not the last coding": a_post(b"Transfer-Encoding: chunked, gzip", body=b"2\r\n{}\r\n0\r\n\r\n"),
    "two codings": a_post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=b"2\r\n{}\r\n0\r\n\r\n"),
    "a space before the colon": a_post(b"Transfer-Encoding : chunked", body=b"2\r\n{}\r\n0\r\n\r\n"),
    "a folded header": a_post(b"Transfer-Encoding:\r\n chunked", body=b"2\r\n{}\r\n0\r\n\r\n"),
    "a chunk size that is no number": a_post(b"Transfer-Encoding: chunked", body=b"zz\r\n{}\r\n0\r\n\r\n"),
    "a chunk size beyond all numbers": a_post(b"Transfer-Encoding: chunked", body=b"f" * 40 + b"\r\n{}\r\n0\r\n\r\n"),
    "a chunk without its end": a_post(b"Transfer-Encoding: chunked", body=b"2\r\n{}xx0\r\n\r\n" + HIDDEN),
    "a chunk that ends in a bare line feed": a_post(b"Transfer-Encoding: chunked", body=b"2\r\n{}\n0\r\n\r\n"),
    "a chunk size that ends in a bare line feed": a_post(b"Transfer-Encoding: chunked", body=b"2\n{}\r\n0\r\n\r\n"),
    "headers that end in bare carriage returns": b"GET /livez HTTP/1.1\rHost: a\r\r",
    "a header without a name": a_post(b": 1", b"Content-Length: 2", body=b"{}"),
    "a header without a colon": a_post(b"Content-Length 2", body=b"{}"),
    "a zero byte in a header": a_post(b"X-One: a\0b", b"Content-Length: 2", body=b"{}"),
    "a carriage return in a header": a_post(b"X-One: a\rX-Two: b", b"Content-Length: 2", body=b"{}"),
    "a space in front of the first header": b"GET /livez HTTP/1.1\r\n Host: a\r\n\r\n",
    "two targets": b"GET /livez /readyz HTTP/1.1\r\n" + HOST + b"\r\n",
    "a version of the future": b"GET /livez HTTP/9.9\r\n" + HOST + b"\r\n",
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64,
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("sent", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
async def test_attack_33_what_can_be_read_in_two_ways_is_refused_and_the_connection_closed(
    bare: BareHttp, sent: bytes
) -> None:
    answer = await bare.exchange(sent + HIDDEN)
    assert answer.is_closed, answer
    assert answer.statuses == [400], answer


async def test_attack_33_a_plain_request_behind_a_plain_one_is_a_request_of_its_own(bare: BareHttp) -> None:
    sent = a_post(b"Content-Length: 2", body=b"{}") + HIDDEN
    answer = await bare.exchange(sent)
    assert answer.statuses == [422, 200], "so the attacks above fail for what they are, and for nothing else"
