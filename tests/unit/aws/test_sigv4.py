"""Signatures: the same as botocore's, for whatever is signed."""

import hashlib
from datetime import UTC, datetime
from unittest import mock

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from email_processor.aws.sigv4 import Signer

NOW = 1_733_841_022
KEYS = ReadOnlyCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None)
HEADERS = {"host": "sqs.us-east-1.amazonaws.com", "content-type": "application/x-amz-json-1.0"}

WORDS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/=-_.", min_size=1, max_size=40)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20).map(lambda name: f"x-{name}")
PATHS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-._~/", max_size=40).map(lambda path: f"/{path}")


def sign(signer: Signer, *, now: int = NOW, keys: ReadOnlyCredentials = KEYS, body: bytes = b"{}") -> str:
    """The signature of a request."""
    return signer.sign("POST", "/", HEADERS, hashlib.sha256(body).hexdigest(), keys, now)["authorization"]


@given(
    method=st.sampled_from(["POST", "PUT"]),
    path=PATHS,
    headers=st.dictionaries(NAMES, WORDS, max_size=4),
    body=st.binary(max_size=200),
    keys=st.builds(ReadOnlyCredentials, WORDS, WORDS, st.none() | WORDS),
    now=st.integers(946_684_800, 4_102_444_800),
    place=st.sampled_from([("sqs", "us-east-1"), ("sqs", "cn-north-1"), ("s3", "eu-west-1")]),
)
def test_a_signature_is_botocores(
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    keys: ReadOnlyCredentials,
    now: int,
    place: tuple[str, str],
) -> None:
    """Every header of it, over any path, headers, body and credentials, at any time."""
    service, region = place
    if service == "sqs":
        path = "/"  # botocore folds the path of everything but S3
    digest = hashlib.sha256(body).hexdigest()
    if service == "s3":
        headers = {**headers, "x-amz-content-sha256": digest}
    theirs = AWSRequest(method, f"https://archive.test{path}", headers=headers, data=body)
    theirs.context["payload_signing_enabled"] = True
    moment = datetime.fromtimestamp(now, UTC)
    with mock.patch("botocore.auth.get_current_datetime", return_value=moment):
        (S3SigV4Auth if service == "s3" else SigV4Auth)(keys, service, region).add_auth(theirs)
    ours = Signer(service, region).sign(method, path, {"host": "archive.test", **headers}, digest, keys, now)
    assert {name.lower(): value for name, value in theirs.headers.items()} | {"host": "archive.test"} == ours


def test_the_key_of_the_day_is_kept_and_never_used_for_another() -> None:
    """A signature after many others, after midnight or a rotation, is that of a signer that never signed before."""
    signer = Signer("sqs", "us-east-1")
    rotated = ReadOnlyCredentials("AKIDROTATED", "another secret", "a token")
    for now, keys in [(NOW, KEYS), (NOW + 60, KEYS), (NOW + 86_400, KEYS), (NOW, rotated), (NOW, KEYS)]:
        assert sign(signer, now=now, keys=keys) == sign(Signer("sqs", "us-east-1"), now=now, keys=keys)
