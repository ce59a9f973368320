"""The settings: environment variables and a `.env` file, read once, checked together, reported in one go."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from email_processor.domain.errors import SettingsError

MESSAGE_MAX_BYTES = 1024 * 1024  # SQS's limit on a message since August 2025
POD_GRACE_MARGIN = 5  # seconds between the end of our grace and the kubelet's SIGKILL

_BUCKET = re.compile(r"(?!xn--|sthree-|amzn-s3-demo-)(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9](?:[a-z0-9.-]{1,61})[a-z0-9]")
_QUEUE_PATH = re.compile(r"/(?:\d{1,12}|queue|[\w-]+)/[\w-]{1,80}(?:\.fifo)?")
_AWS_HOST = re.compile(
    r"(?:sqs(?:-fips)?\.)?(?P<region>[a-z]{2}(?:-[a-z]+)+-\d)\.(?:queue\.)?(?:amazonaws\.com|api\.aws)(?:\.cn)?"
)


def _queue_url(value: str) -> str:
    url = urlsplit(value)
    if url.username or url.password:
        raise PydanticCustomError("queue_url", "must not contain a user name or a password")
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise PydanticCustomError("queue_url", "must be the queue's URL, not its name or ARN")
    if not _QUEUE_PATH.fullmatch(url.path):
        raise PydanticCustomError("queue_url", "must end in /<account>/<queue name>")
    return value


def _bucket(value: str) -> str:
    if value.startswith(("s3://", "arn:")):
        raise PydanticCustomError("bucket", "must be the bucket's name alone, not a URL or an ARN")
    if not _BUCKET.fullmatch(value) or ".." in value:
        raise PydanticCustomError(
            "bucket", "must be a bucket name: 3 to 63 lower-case letters, digits, dots and hyphens"
        )
    return value


def _prefix(value: str) -> str:
    value = value.strip("/")
    segments = value.split("/")
    if any(segment in {"", ".", ".."} for segment in segments):
        raise PydanticCustomError("prefix", "must not be empty or have empty, '.' or '..' segments")
    if not re.fullmatch(r"[\w!.*'()/=-]+", value, re.ASCII):
        raise PydanticCustomError("prefix", "must be made of letters, digits and the characters / ! - _ . * ' ( ) =")
    return value


def _log_file(value: Path | None) -> Path | None:
    if value is not None and not value.parent.is_dir():
        raise PydanticCustomError("log_file", "must be in a directory that exists")
    return value


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with the settings `names`; the first is the one to change."""

    names: tuple[str, ...]
    text: str


class Settings(BaseSettings):
    """Every setting, as the environment variable of the same name in upper case."""

    model_config = SettingsConfigDict(
        env_file=None,
        case_sensitive=False,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        env_ignore_empty=True,
    )

    sqs_queue_url: Annotated[str, AfterValidator(_queue_url)] = Field(
        description="URL of the queue to read from.",
        examples=["https://sqs.us-east-1.amazonaws.com/123456789012/emails"],
    )
    s3_bucket_name: Annotated[str, AfterValidator(_bucket)] = Field(
        description="Bucket to archive into.", examples=["my-email-archive"]
    )
    aws_region: str = Field(
        "us-east-1",
        pattern=r"^[a-z]{2}(-[a-z]+)+-\d$",
        description="AWS region of the queue and the bucket.",
        examples=["eu-west-1"],
    )
    poll_interval_seconds: float = Field(
        30,
        ge=0,
        le=3600,
        description="While the queue is empty, receives start this far apart; while messages keep coming there is no "
        "pause. 0 polls without rest.",
        examples=["30"],
    )
    max_messages_per_poll: int = Field(
        10, ge=1, le=10, description="Messages asked for in one receive; SQS allows 1 to 10.", examples=["10"]
    )
    visibility_timeout_seconds: int = Field(
        300,
        ge=30,
        le=43200,
        description="How long a received message stays hidden from others; renewed while it is in hand.",
        examples=["300"],
    )
    sqs_wait_time_seconds: int = Field(
        20, ge=0, le=20, description="Long-poll wait of a receive; SQS allows 0 to 20.", examples=["20"]
    )
    sqs_timeout_seconds: float = Field(
        8,
        ge=1,
        le=60,
        description="Longest wait for an answer of SQS, on top of the long-poll wait.",
        examples=["8"],
    )
    s3_timeout_seconds: float = Field(
        15, ge=1, le=300, description="Longest wait for one PUT or GET of S3.", examples=["15"]
    )
    s3_key_prefix: Annotated[str, AfterValidator(_prefix)] = Field(
        "emails", max_length=400, description="Prefix of the archived emails' keys.", examples=["emails"]
    )
    s3_quarantine_prefix: Annotated[str, AfterValidator(_prefix)] = Field(
        "quarantine",
        max_length=400,
        description="Prefix of the keys of messages that are not archivable emails.",
        examples=["quarantine"],
    )
    quarantine_enabled: bool = Field(
        default=True,
        description="Put messages that are not emails under the quarantine prefix. false leaves them to the queue's "
        "own dead-letter policy.",
        examples=["true"],
    )
    s3_conditional_writes: bool = Field(
        default=True,
        description="Write with `If-None-Match: *`, so that an object is never overwritten. false is for stores that "
        "lack it.",
        examples=["true"],
    )
    s3_sse: Literal["none", "AES256", "aws:kms"] = Field(
        "none",
        description="Server-side encryption to ask for: `none` leaves it to the bucket's default, `AES256`, or "
        "`aws:kms`.",
        examples=["aws:kms"],
    )
    s3_kms_key_id: str | None = Field(
        None,
        description="KMS key (id, ARN or alias) for `S3_SSE=aws:kms`; the bucket's or account's default if not given.",
        examples=["arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-0000-0000-0000-000000000000"],
    )
    payload_max_bytes: int = Field(
        16 * 1024 * 1024,
        ge=1024 * 1024,
        le=1024**3,
        description="Largest body fetched from S3 for a message of the SQS extended client; one is in memory at a "
        "time.",
        examples=["16777216"],
    )
    receivers_max: int = Field(
        4, ge=1, le=64, description="Most receives at once; an idle queue is watched by one.", examples=["4"]
    )
    uploads_max: int = Field(
        128,
        ge=1,
        le=1024,
        description="Most uploads at once; the number in force adapts to what S3 bears.",
        examples=["128"],
    )
    deletes_max: int = Field(4, ge=1, le=64, description="Most delete batches in flight at once.", examples=["4"])
    delete_linger_seconds: float = Field(
        0.2, ge=0, le=10, description="How long a batch of deletes may wait to be filled up to ten.", examples=["0.2"]
    )
    in_flight_max_messages: int = Field(
        1000,
        ge=10,
        le=100_000,
        description="Most messages in hand; a receive is only made when a full batch fits.",
        examples=["1000"],
    )
    in_flight_max_bytes: int = Field(
        48 * 1024 * 1024,
        ge=MESSAGE_MAX_BYTES,
        le=8 * 1024**3,
        description="Most bytes of bodies in hand; a receive is only made when ten messages of 1 MiB fit.",
        examples=["50331648"],
    )
    queue_depth_interval_seconds: float = Field(
        30, ge=1, le=3600, description="How often the queue's depth and redrive policy are read.", examples=["30"]
    )
    shutdown_grace_seconds: float = Field(
        25,
        ge=1,
        le=3600,
        description="How long a stop may take: to archive and delete what is in hand, and give back the rest.",
        examples=["25"],
    )
    pod_termination_grace_seconds: float | None = Field(
        None,
        ge=1,
        description="The pod's terminationGracePeriodSeconds, so that the grace can be checked against it; the chart "
        "sets it.",
        examples=["35"],
    )
    http_host: str = Field(
        "0.0.0.0",  # noqa: S104 - probes and Prometheus come from other hosts
        description="Address that /healthz, /readyz and /metrics are served on.",
        examples=["127.0.0.1"],
    )
    http_port: int = Field(8080, ge=0, le=65535, description="Port of the same; 0 takes a free one.", examples=["8080"])
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severe level that is logged.", examples=["INFO"]
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto",
        description="`json`: one object a line; `console`: for people; `auto`: console on a terminal, else json.",
        examples=["json"],
    )
    log_file: Annotated[Path | None, AfterValidator(_log_file)] = Field(
        None,
        description="Also log to this file as JSON; three files of 10 MiB are kept.",
        examples=["processor.log"],
    )
    log_summary_seconds: float = Field(
        60, ge=1, le=86400, description="How often the counts are logged.", examples=["60"]
    )

    def conflicts(self) -> Iterator[Problem]:
        """Rules between settings: what is broken, under the name of the setting to change first."""
        receive_seconds = self.sqs_wait_time_seconds + self.sqs_timeout_seconds
        if receive_seconds >= self.visibility_timeout_seconds:
            yield Problem(
                ("SQS_WAIT_TIME_SECONDS", "SQS_TIMEOUT_SECONDS", "VISIBILITY_TIMEOUT_SECONDS"),
                f"a receive may take {receive_seconds:g} s (with SQS_TIMEOUT_SECONDS), which must be less than "
                f"VISIBILITY_TIMEOUT_SECONDS ({self.visibility_timeout_seconds})",
            )
        if self.s3_timeout_seconds > self.visibility_timeout_seconds / 2:
            yield Problem(
                ("S3_TIMEOUT_SECONDS", "VISIBILITY_TIMEOUT_SECONDS"),
                f"one upload may take {self.s3_timeout_seconds:g} s, which must be at most half of "
                f"VISIBILITY_TIMEOUT_SECONDS ({self.visibility_timeout_seconds})",
            )
        batch_bytes = self.max_messages_per_poll * MESSAGE_MAX_BYTES
        if self.in_flight_max_bytes < batch_bytes:
            yield Problem(
                ("IN_FLIGHT_MAX_BYTES", "MAX_MESSAGES_PER_POLL"),
                f"one receive can bring {self.max_messages_per_poll} messages of 1 MiB: with less than {batch_bytes} "
                "bytes nothing would ever be received",
            )
        if self.s3_key_prefix == self.s3_quarantine_prefix:
            yield Problem(("S3_QUARANTINE_PREFIX", "S3_KEY_PREFIX"), "must differ from S3_KEY_PREFIX")
        if self.s3_kms_key_id is not None and self.s3_sse != "aws:kms":
            yield Problem(("S3_SSE", "S3_KMS_KEY_ID"), f"is {self.s3_sse}, but S3_KMS_KEY_ID needs aws:kms")
        host = _AWS_HOST.fullmatch(urlsplit(self.sqs_queue_url).hostname or "")
        if host is not None and host["region"] != self.aws_region:
            yield Problem(
                ("AWS_REGION", "SQS_QUEUE_URL"), f"is {self.aws_region}, but SQS_QUEUE_URL is in {host['region']}"
            )
        pod_grace = self.pod_termination_grace_seconds
        if pod_grace is not None and self.shutdown_grace_seconds + POD_GRACE_MARGIN > pod_grace:
            yield Problem(
                ("SHUTDOWN_GRACE_SECONDS", "POD_TERMINATION_GRACE_SECONDS"),
                f"is {self.shutdown_grace_seconds:g}, which must be {POD_GRACE_MARGIN} s less than the pod's "
                f"terminationGracePeriodSeconds ({pod_grace:g}), or the kubelet kills the pod before it is done",
            )


def load(dotenv: Path = Path(".env")) -> Settings:
    """Read the settings from the environment, and from `dotenv` for what is not there.

    `AWS_*` variables of the file are put into the environment, where every AWS SDK looks for them.

    Raises:
        SettingsError: with everything that is wrong, in one report.
    """
    for name, value in dotenv_values(dotenv).items():
        if name.upper().startswith("AWS_") and value:
            os.environ.setdefault(name, value)
    problems: list[Problem] = []
    stand_ins: dict[str, Any] = {}
    try:
        settings = Settings(_env_file=dotenv)
    except ValidationError as error:
        for detail in error.errors():
            name = str(detail["loc"][0])
            problems.append(Problem((name.upper(),), _explain(detail["type"], detail["msg"], detail["input"])))
            # a good value in place of the bad one, so that the rules between the others are checked as well
            stand_ins[name] = Settings.model_fields[name].examples[0]  # type: ignore[index]
        settings = Settings(_env_file=dotenv, **stand_ins)
    bad = {name.upper() for name in stand_ins}
    problems += [problem for problem in settings.conflicts() if not bad.intersection(problem.names)]
    if problems:
        raise SettingsError(_report(problems))
    return settings


def _explain(kind: str, message: str, value: object) -> str:
    if kind == "missing":
        return "is required and not set"
    shown = "" if "@" in str(value) else f" {str(value)[:80]!r}"  # what looks like credentials is not repeated
    return f"{message[0].lower()}{message[1:]}; it is{shown or ' set to something else'}"


def _report(problems: list[Problem]) -> str:
    lines = [f"{len(problems)} of the settings {'is' if len(problems) == 1 else 'are'} wrong:"]
    for problem in problems:
        name = problem.names[0]
        example = (Settings.model_fields[name.lower()].examples or [""])[0]
        lines += [f"  {name}: {problem.text}", f"    for example: {name}={example}"]
    lines.append("Set them in the environment or in a .env file; the README explains each.")
    return "\n".join(lines)
