"""What strangers send to an HTTP port."""

import socket

REQUEST = b"GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n"
POST = b"POST /healthz HTTP/1.1\r\nHost: x\r\n%s\r\n"

MALFORMED = [
    b"hello\r\n\r\n",
    b"\0" * 1000 + b"\r\n\r\n",
    b"\xff" * 1000 + b"\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS handshake
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /healthz HTTP/9.9\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\n\r\n",
    b"GET  HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /health\0z HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: \0\r\n\r\n",
    POST % b"Transfer-Encoding: chunked\r\n" + b"zz\r\n",
    POST % b"Transfer-Encoding: chunked\r\n" + b"ffffffffffffffffff\r\n",
    REQUEST % (b"/" + b"a" * 100_000, b""),
    REQUEST % (b"/healthz", b"X-Long: " + b"a" * 100_000 + b"\r\n"),
    REQUEST % (b"/healthz", b"".join(b"X-%d: a\r\n" % number for number in range(10_000))),
]

# Where two readers could disagree on where a request ends; behind it waits another one.
SMUGGLING = [
    POST % head + body + REQUEST % (b"/metrics", b"")
    for head, body in (
        (b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", b"0\r\n\r\n"),
        (b"Content-Length: 5\r\nContent-Length: 0\r\n", b"hello"),
        (b"Content-Length: 5, 0\r\n", b"hello"),
        (b"Content-Length: +5\r\n", b"hello"),
        (b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"),
        (b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", b"0\r\n\r\n"),
        (b"X: y\r\n Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
        (b"Transfer-Encoding: chunked\r\n", b"0;\n\r\n\r\n"),
        (b"X: y\nContent-Length: 5\r\n", b"hello"),
    )
]


def exchange(port: int, data: bytes, timeout: float = 20.0) -> bytes:
    """Whatever a port answers to `data` before it closes the connection; our side stays open."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as client:
        try:
            client.sendall(data)
            while chunk := client.recv(65536):
                answer += chunk
        except (BrokenPipeError, ConnectionResetError):
            pass  # it closed before it had read everything
    return answer
