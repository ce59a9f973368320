"""From what AWS and its likes say of a refusal to a cause, a detail and a fix."""

import ssl

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, SSLError

from email_processor.aws.faults import DETAIL_MAX, PROTOCOL_FIX, TLS_FIX, Refusal, explain, explain_refusal
from email_processor.domain.errors import Cause

CAUSES = [
    (("SlowDownWrite",), 503, Cause.THROTTLED),
    (("SlowDownRead",), 503, Cause.THROTTLED),
    (("BandwidthLimitExceeded",), 503, Cause.THROTTLED),
    (("LimitExceededException",), 400, Cause.THROTTLED),
    (("XAmzContentSHA256Mismatch",), 400, Cause.SERVER),
    (("BadDigest",), 400, Cause.SERVER),
    (("IncompleteBody",), 400, Cause.SERVER),
    (("PriorRequestNotComplete",), 503, Cause.SERVER),
    (("NoSuchBucket",), 404, Cause.MISSING),
    (("QueueDoesNotExist",), 404, Cause.MISSING),
    ((), 404, Cause.MISSING),
    (("404",), 404, Cause.MISSING),
    (("XAdminUserNotFound",), 404, Cause.CREDENTIALS),
    (("NoSuchUpload",), 404, Cause.CONFIGURATION),
    (("NotImplemented",), 501, Cause.CONFIGURATION),
    (("XNotSupported",), 501, Cause.CONFIGURATION),
    ((), 501, Cause.CONFIGURATION),
    (("X501",), 500, Cause.SERVER),
    (("EC2ThrottledException",), 503, Cause.THROTTLED),
    (("ProvisionedThroughputExceededException",), 400, Cause.THROTTLED),
    (("TooManyRequests",), 429, Cause.THROTTLED),
]


@pytest.mark.parametrize(("codes", "status", "cause"), CAUSES)
def test_a_refusal_has_a_cause(codes: tuple[str, ...], status: int, cause: Cause) -> None:
    """What passes is tried again; a throttled request is no outage; only what is known to be missing is to be made."""
    assert cause is explain_refusal(Refusal(codes, status, ""))[0]


def test_a_refusal_that_names_the_key_is_about_encryption() -> None:
    """S3 calls it AccessDenied like any other, and says in its message that it is the key."""
    said = "User: arn:aws:sts::1:assumed-role/pod/1 is not authorized to perform: kms:GenerateDataKey on resource: k"
    cause, detail, fix = explain_refusal(Refusal(("AccessDenied",), 403, said))
    assert Cause.ENCRYPTION is cause
    assert f"AccessDenied: {said}" == detail
    assert "kms:GenerateDataKey" in fix


def test_a_key_that_was_asked_for_itself_is_denied() -> None:
    """Its name is in every answer of KMS: there it says nothing."""
    said = "not authorized to perform: kms:GenerateDataKey"
    error = ClientError({"Error": {"Code": "AccessDeniedException", "Message": said}}, "GenerateDataKey")
    assert Cause.DENIED is explain(error)[0]


def test_a_detail_is_one_short_line_without_a_key_id() -> None:
    """Some stores add what they were sent, or where to read more."""
    said = f"\n  The key AKIAIOSFODNN7EXAMPLE is unknown. {'x' * 600}\nThe request was: secret"
    detail = explain_refusal(Refusal(("InvalidAccessKeyId",), 403, said))[1]
    assert detail.startswith("InvalidAccessKeyId: The key (a key id) is unknown. xxx")
    assert len("InvalidAccessKeyId: ") + DETAIL_MAX == len(detail)
    assert "secret" not in detail


@pytest.mark.parametrize(
    "url", ["http://jo:hunter2@proxy:1/x", "http://hunter2@proxy:1/x", "http://jo:hunter2/?@p@ss#@proxy:1/x"]
)
def test_a_detail_has_no_password_of_a_url(url: str) -> None:
    """Whoever quotes it: the SDK of a connection, or a server of what it was asked."""
    of_the_sdk = explain(EndpointConnectionError(endpoint_url=url))[1]
    assert 'EndpointConnectionError: Could not connect to the endpoint URL: "http://proxy:1/x"' == of_the_sdk
    assert "X: not at http://proxy:1/x" == explain_refusal(Refusal(("X",), 400, f"not at {url}"))[1]


REGIONS = [
    Refusal(("PermanentRedirect",), 301, "Use the endpoint.", "eu-west-1"),
    Refusal((), 301, "", "eu-west-1"),
    Refusal((), 307, "", "eu-west-1"),
    Refusal(("AuthorizationHeaderMalformed",), 400, "the region 'us-east-1' is wrong; expecting 'eu-west-1'"),
]


@pytest.mark.parametrize("refusal", REGIONS, ids=str)
def test_the_region_that_s3_names_stands_in_the_fix(refusal: Refusal) -> None:
    """Nobody has to look for it."""
    assert explain_refusal(refusal)[2].startswith("Set AWS_REGION=eu-west-1,")


def test_a_region_that_has_nothing_to_do_with_it_does_not() -> None:
    """S3 names the bucket's region in many answers."""
    assert "AWS_REGION=" not in explain_refusal(Refusal(("AccessDenied",), 403, "No.", "eu-west-1"))[2]


def test_too_many_messages_in_flight_have_a_fix() -> None:
    """It is throttling, but time alone does not mend it."""
    cause, _, fix = explain_refusal(Refusal(("OverLimit",), 403, ""))
    assert Cause.THROTTLED is cause
    assert "in flight" in fix


def test_an_object_in_an_archive_tier_has_to_be_restored() -> None:
    """S3 answers 403 to a GET of it, as to one that is not allowed; no policy mends it."""
    cause, detail, fix = explain_refusal(Refusal(("InvalidObjectState",), 403, "The object's storage class is wrong."))
    assert Cause.DENIED is cause
    assert "InvalidObjectState: The object's storage class is wrong." == detail
    assert fix.startswith("Restore the object (s3:RestoreObject)")
    assert "policy" not in fix


@pytest.mark.parametrize("status", [400, 415])
def test_a_queue_server_of_the_older_protocol_is_named(status: int) -> None:
    """The advice is not about the bucket."""
    response = {"Error": {"Code": str(status)}, "ResponseMetadata": {"HTTPStatusCode": status}}
    assert PROTOCOL_FIX == explain(ClientError(response, "ReceiveMessage"))[2]  # type: ignore[arg-type]


def ssl_error(reason: str) -> ssl.SSLError:
    """What OpenSSL says."""
    error = ssl.SSLError(1, f"[SSL: {reason}] something (_ssl.c:1000)")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("inner", "cause"),
    [
        (ssl.SSLCertVerificationError(1, "certificate verify failed"), Cause.CONFIGURATION),
        (ssl_error("NO_CERTIFICATE_OR_CRL_FOUND"), Cause.CONFIGURATION),
        (ssl_error("TLSV1_ALERT_INTERNAL_ERROR"), Cause.NETWORK),
        (ssl_error("WRONG_VERSION_NUMBER"), Cause.NETWORK),
        (ssl_error("RECORD_LAYER_FAILURE"), Cause.NETWORK),
    ],
    ids=["not trusted", "no authorities", "alert", "no TLS", "broken record"],
)
@pytest.mark.parametrize("kind", [SSLError, ConnectionClosedError])
def test_of_tls_only_trust_needs_a_person(
    kind: type[SSLError | ConnectionClosedError], inner: ssl.SSLError, cause: Cause
) -> None:
    """All else may pass: a balancer that is overloaded, a record that was broken on its way."""
    found, _, fix = explain(kind(endpoint_url="https://s3", error=inner))
    assert cause is found
    assert (fix == TLS_FIX) == (cause is Cause.CONFIGURATION)
