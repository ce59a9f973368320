"""The settings: environment variables and a `.env` file, read once, checked together, reported in one go."""

import os
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args, get_origin
from urllib.parse import urlsplit

from dotenv import dotenv_values
from dotenv.parser import Binding, parse_stream
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from email_processor.domain.errors import SettingsError
from email_processor.domain.key import PREFIX_MAX_BYTES
from email_processor.domain.message import MESSAGE_MAX_BYTES, KeyTime
from email_processor.http_address import EVERYWHERE, MOST, PORT, read_host, read_port
from email_processor.partitions import ANY_DOMAIN, REGION

POD_GRACE_MARGIN = 5  # seconds between the end of our grace and the kubelet's SIGKILL
SHOWN_CHARACTERS = 80  # of a wrong value

_OURS = "setting"  # the type of an error whose message is our own
# It can be another maker's (`fr-par`, `nyc3`). Where requests go is known when the AWS SDK has read its configuration:
# one that is none of AWS's is refused then, if they go to AWS.
_REGION = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_KMS_KEY = re.compile(r"(?:arn:[a-z-]+:kms:(?=\S)|(?!arn:))[\w/:.-]{1,2048}", re.ASCII)
_BUCKET = re.compile(r"(?!xn--|sthree-|amzn-s3-demo-)(?!\d+\.\d+\.\d+\.\d+$)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
# AWS and most emulators: /<account>/<name>; some have more in front. The suffix counts among the 80 characters.
_QUEUE_PATH = re.compile(r"(?:/[\w-]+)+/(?=[\w.-]{1,80}$)[\w-]+(?:\.fifo)?", re.ASCII)
_AWS_HOST = re.compile(
    rf"(?:(?:vpce-[\w-]+\.)?sqs(?:-fips)?\.)?(?P<region>{REGION})\.(?:queue\.|vpce\.)?(?:{ANY_DOMAIN})"
)


def _wrong(text: str) -> PydanticCustomError:
    return PydanticCustomError(_OURS, "{text}", {"text": text})


def _queue_url(value: str) -> str:
    try:
        url = urlsplit(value)
        is_complete = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        raise _wrong("must be a URL") from None
    if not is_complete or re.search(r"\s", value):
        raise _wrong("must be the queue's URL, not its name or ARN")
    if "@" in url.netloc:
        raise _wrong("must not contain a user name or a password")
    if url.query or url.fragment or not _QUEUE_PATH.fullmatch(url.path):
        raise _wrong("must end in /<account>/<queue name>")
    return value


def _bucket(value: str) -> str:
    if value.startswith(("s3://", "arn:")):
        raise _wrong("must be the bucket's name alone, not a URL or an ARN")
    if value.endswith("--x-s3"):
        raise _wrong(
            "must not be a directory bucket (S3 Express One Zone), which needs sessions that are not made here"
        )
    if not _BUCKET.fullmatch(value):
        raise _wrong("must be a bucket name: 3 to 63 lower-case letters, digits, dots and hyphens")
    return value


def _region(value: str | None) -> str | None:
    if value is None:
        return None
    if not _REGION.fullmatch(value):
        raise _wrong("must be an AWS region")
    return value


def _as_the_health_check(reader: Callable[[str], object]) -> Callable[[object], object]:
    """What both read is read in one way, or the health check would ask somewhere else."""

    def read(value: object) -> object:
        try:
            return reader(value) if isinstance(value, str) else value
        except ValueError as error:
            raise _wrong(str(error)) from None

    return read


def _kms_key(value: str | None) -> str | None:
    if value is not None and not _KMS_KEY.fullmatch(value):
        raise _wrong("must be the id, ARN or alias (alias/...) of a KMS key")
    return value


def _prefix(value: str) -> str:
    value = value.strip("/")
    if any(segment in {"", ".", ".."} for segment in value.split("/")):
        raise _wrong("must not be empty or have empty, '.' or '..' segments")
    if not re.fullmatch(r"[\w!.*'()/=-]+", value, re.ASCII):
        raise _wrong("must be made of letters, digits and the characters / ! - _ . * ' ( ) =")
    if len(value) > PREFIX_MAX_BYTES:
        raise _wrong(f"must have at most {PREFIX_MAX_BYTES} characters")
    return value


def _log_file(value: Path | None) -> Path | None:
    try:
        is_possible = value is None or (value.parent.is_dir() and not value.is_dir())
    except OSError:
        is_possible = False
    if not is_possible:
        raise _wrong("must be a file in a directory that exists")
    return value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with the settings `names`; the first is the one to change, for example to `example`."""

    names: tuple[str, ...]
    text: str
    example: str


class Settings(BaseSettings):
    """Every setting, as the environment variable of the same name in upper case."""

    model_config = SettingsConfigDict(
        allow_inf_nan=False,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        str_strip_whitespace=True,
    )

    sqs_queue_url: Annotated[str, AfterValidator(_queue_url)] = Field(
        description="URL of the queue to read from.",
        examples=["https://sqs.us-east-1.amazonaws.com/123456789012/emails"],
    )
    s3_bucket_name: Annotated[str, AfterValidator(_bucket)] = Field(
        description="Bucket to archive into.", examples=["my-email-archive"]
    )
    aws_region: Annotated[str, AfterValidator(_region)] = Field(
        "us-east-1",
        description="AWS region of the bucket, and of the queue if neither SQS_REGION nor its URL says another.",
        examples=["us-east-1"],
    )
    sqs_region: Annotated[str | None, AfterValidator(_region)] = Field(
        None,
        description="AWS region of the queue; needed only where it is not the bucket's and the queue's URL does not "
        "name it.",
        examples=["us-east-1"],
    )
    poll_interval_seconds: float = Field(
        30,
        ge=0,
        le=3600,
        description="While the queue is empty, receives start this many seconds apart; while messages keep coming "
        "there is no pause. 0 polls without rest.",
        examples=["30"],
    )
    max_messages_per_poll: int = Field(
        10, ge=1, le=10, description="Messages asked for in one receive; SQS allows 1 to 10.", examples=["10"]
    )
    visibility_timeout_seconds: int = Field(
        300,
        ge=30,
        le=43200,
        description="Seconds that a received message stays hidden from others, renewed while it is in flight; SQS "
        "allows 43200 at most.",
        examples=["300"],
    )
    aws_client: Literal["signed", "sdk"] = Field(
        "signed",
        description="How SQS and S3 are called: `signed` signs and sends the requests itself, for a fraction of the "
        "CPU; `sdk` goes through the AWS SDK's clients, as requests to a proxy always do.",
        examples=["signed"],
    )
    sqs_wait_time_seconds: int = Field(
        20, ge=0, le=20, description="Seconds of a receive's long poll; SQS allows 0 to 20.", examples=["20"]
    )
    sqs_timeout_seconds: float = Field(
        8,
        ge=1,
        le=60,
        description="Most seconds to wait for an answer of SQS, on top of the long poll.",
        examples=["8"],
    )
    s3_timeout_seconds: float = Field(
        15,
        ge=1,
        le=300,
        description="Most seconds to wait for one PUT or GET of S3; a PUT may take one more for each MiB.",
        examples=["15"],
    )
    s3_key_prefix: Annotated[str, AfterValidator(_prefix)] = Field(
        "emails", description="Prefix of the archived emails' keys.", examples=["emails"]
    )
    s3_key_time: KeyTime = Field(
        "first_receive",
        description="Time of a message that dates its key and its document: `first_receive`, when the queue first "
        "handed it out, which SQS calls approximate, or `sent`, when it was sent, the same for every copy of it. What "
        "is in flight at a change of it can get a second object.",
        examples=["sent"],
    )
    s3_quarantine_prefix: Annotated[str, AfterValidator(_prefix)] = Field(
        "quarantine",
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
    s3_kms_key_id: Annotated[str | None, AfterValidator(_kms_key)] = Field(
        None,
        description="KMS key (id, ARN or alias) for `S3_SSE=aws:kms`; the bucket's or account's default if not given.",
        examples=["arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-0000-0000-0000-000000000000"],
    )
    payload_max_bytes: int = Field(
        16 * 1024 * 1024,
        ge=1024 * 1024,
        le=1024**3,
        description="Largest body fetched from S3 for a message of the SQS extended client; all that are in memory "
        "at a time have no more together. The memory limit must be four times that and 80 MiB more.",
        examples=["16777216"],
    )
    in_flight_max_bytes: int = Field(
        0,
        ge=0,
        le=8 * 1024**3,
        description="Most bytes of bodies in flight; 0 is what the container's memory limit leaves room for.",
        examples=["25165824"],
    )
    shutdown_grace_seconds: float = Field(
        25,
        ge=1,
        le=3600,
        description="Seconds that a stop may take: for long polls to come back, to archive and delete what is in "
        "flight, and give back the rest. With less than 5 more than `SQS_WAIT_TIME_SECONDS`, it may cost a receive.",
        examples=["25"],
    )
    pod_termination_grace_seconds: float | None = Field(
        None,
        ge=1 + POD_GRACE_MARGIN,
        description="The pod's terminationGracePeriodSeconds, so that the grace can be checked against it; the chart "
        "sets it.",
        examples=["35"],
    )
    http_host: Annotated[str, BeforeValidator(_as_the_health_check(read_host))] = Field(
        EVERYWHERE,  # probes and Prometheus come from other hosts
        description="Address that /healthz, /readyz and /metrics are served on; `::` is every address, of IPv4 and "
        "of IPv6.",
        examples=["127.0.0.1"],
    )
    http_port: Annotated[int, BeforeValidator(_as_the_health_check(read_port))] = Field(
        PORT, ge=0, le=MOST, description="Port of HTTP_HOST; 0 takes a free one.", examples=["8080"]
    )
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)] = Field(
        "INFO", description="Least severe level that is logged.", examples=["INFO"]
    )
    log_format: Annotated[Literal["auto", "json", "console"], BeforeValidator(_lower)] = Field(
        "auto",
        description="`json`: one object a line; `console`: for people; `auto`: console on a terminal, else json.",
        examples=["json"],
    )
    log_file: Annotated[Path | None, AfterValidator(_log_file)] = Field(
        None,
        description="Also log to this file as JSON; three files of 10 MiB are kept.",
        examples=["processor.log"],
    )

    def conflicts(self) -> Iterator[Problem]:
        """Rules between settings: what is broken, under the name of the setting to change first."""
        visibility = self.visibility_timeout_seconds
        receive_seconds = self.sqs_wait_time_seconds + self.sqs_timeout_seconds
        if receive_seconds >= visibility:
            yield Problem(
                ("VISIBILITY_TIMEOUT_SECONDS", "SQS_WAIT_TIME_SECONDS", "SQS_TIMEOUT_SECONDS"),
                f"is {visibility}, but a receive may take {receive_seconds:g} s (SQS_WAIT_TIME_SECONDS + "
                "SQS_TIMEOUT_SECONDS) and must end while its messages are hidden",
                "300",
            )
        if self.s3_timeout_seconds > visibility / 2:
            yield Problem(
                ("S3_TIMEOUT_SECONDS", "VISIBILITY_TIMEOUT_SECONDS"),
                f"is {self.s3_timeout_seconds:g}, but must be at most half of VISIBILITY_TIMEOUT_SECONDS "
                f"({visibility}), so that an upload ends while its message is hidden",
                "15",
            )
        batch_bytes = self.max_messages_per_poll * MESSAGE_MAX_BYTES
        if 0 < self.in_flight_max_bytes < batch_bytes:
            yield Problem(
                ("IN_FLIGHT_MAX_BYTES", "MAX_MESSAGES_PER_POLL"),
                f"is {self.in_flight_max_bytes}, but one receive can bring {batch_bytes} (MAX_MESSAGES_PER_POLL is "
                f"{self.max_messages_per_poll}, of 1 MiB each): nothing would ever be received",
                "50331648",
            )
        if self.s3_key_prefix == self.s3_quarantine_prefix:
            yield Problem(
                ("S3_QUARANTINE_PREFIX", "S3_KEY_PREFIX"),
                f"is {self.s3_quarantine_prefix}, as S3_KEY_PREFIX: the two must differ",
                "quarantine" if self.s3_key_prefix != "quarantine" else "rejected",
            )
        if self.s3_kms_key_id is not None and self.s3_sse != "aws:kms":
            yield Problem(
                ("S3_SSE", "S3_KMS_KEY_ID"), f"is {self.s3_sse}, but S3_KMS_KEY_ID is only for aws:kms", "aws:kms"
            )
        named = region_of(self.sqs_queue_url)
        if self.sqs_region is not None and named not in {None, self.sqs_region}:
            yield Problem(
                ("SQS_REGION", "SQS_QUEUE_URL"), f"is {self.sqs_region}, but SQS_QUEUE_URL is in {named}", str(named)
            )
        pod_grace = self.pod_termination_grace_seconds
        if pod_grace is not None and self.shutdown_grace_seconds + POD_GRACE_MARGIN > pod_grace:
            yield Problem(
                ("SHUTDOWN_GRACE_SECONDS", "POD_TERMINATION_GRACE_SECONDS"),
                f"is {self.shutdown_grace_seconds:g}, but must be at least {POD_GRACE_MARGIN} s less than the pod's "
                f"terminationGracePeriodSeconds ({pod_grace:g}), or the kubelet kills the pod before it is done",
                f"{pod_grace - POD_GRACE_MARGIN:g}",
            )


def queue_region(settings: Settings) -> str:
    """The region of the queue: as it is set, else as its URL names it, else the bucket's."""
    return settings.sqs_region or region_of(settings.sqs_queue_url) or settings.aws_region


def region_of(queue_url: str) -> str | None:
    """The region that the URL of a queue names, if it is one of AWS's."""
    host = _AWS_HOST.fullmatch(urlsplit(queue_url).hostname or "")
    return None if host is None else host["region"]


def load(
    dotenv: Path = Path(".env"), *, reads: Callable[[Settings], object] | None = None, given: Collection[str] = ()
) -> Settings:
    """Read the settings from the environment; what is not there, or empty, from the file `dotenv` if there is one.

    The file's variables are put into the environment, where the AWS SDK looks for its own. A command that needs only
    some of the settings shows how it reads them (`reads`), and names those that were `given` to it in another way: of
    all others than are read, a wrong one's example stands in for it.

    Raises:
        SettingsError: with everything that is wrong, in one report.
    """
    settings, problems = examine(dotenv)
    if reads is not None:
        needed = read_by(reads, settings) - set(given)
        problems = [problem for problem in problems if needed.issuperset(problem.names)]
    if problems:
        raise SettingsError(_report(problems))
    return settings


def read_by(reader: Callable[[Settings], object], settings: Settings) -> frozenset[str]:
    """The variables behind the settings that `reader` reads."""
    reading = _Reading(settings)
    reader(cast("Settings", reading))
    return frozenset(reading.names)


class _Reading:
    """Settings that note which of them are read."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.names: set[str] = set()

    def __getattr__(self, name: str) -> object:
        self.names.add(name.upper())
        return getattr(self._settings, name)


def examine(dotenv: Path = Path(".env")) -> tuple[Settings, list[Problem]]:
    """As `load`, but with everything that is wrong beside the settings; a wrong value's example stands in for it.

    Raises:
        SettingsError: `dotenv` is there, but it or some of its lines cannot be read.
    """
    _export(dotenv)
    problems: list[Problem] = []
    stand_ins: dict[str, Any] = {}
    try:
        settings = Settings()
    except ValidationError as error:
        for detail in error.errors():
            name = str(detail["loc"][0])
            field = Settings.model_fields[name]
            # a good value in place of the bad one, so that the rules between the others are checked as well
            stand_ins[name] = (field.examples or [""])[0]
            text = _explain(field, detail["type"], detail["msg"], detail["input"])
            problems.append(Problem((name.upper(),), text, stand_ins[name]))
        settings = Settings(**stand_ins)
    bad = {name.upper() for name in stand_ins}
    problems += [problem for problem in settings.conflicts() if not bad.intersection(problem.names)]
    return settings, problems


def _export(dotenv: Path) -> None:
    try:
        text = dotenv.read_text("utf-8-sig") if dotenv.is_file() or dotenv.is_fifo() else ""
        _refuse_lines(dotenv, text)
        given = {name.lower() for name, value in os.environ.items() if value} & Settings.model_fields.keys()
        for name, value in dotenv_values(stream=StringIO(text)).items():
            if value and not os.environ.get(name) and name.lower() not in given:  # settings are read in any case
                os.environ[name] = value
    except (OSError, ValueError) as error:  # not to be read, not UTF-8, a null byte
        raise SettingsError(
            f"The file {dotenv} cannot be read: {error}.",
            fix="Make it a UTF-8 text file that this user may read, or remove it.",
        ) from error


def _refuse_lines(dotenv: Path, text: str) -> None:
    """Refuse lines that say nothing that can be understood: python-dotenv would pass over them, and a default count."""
    lines = [str(_first_line(binding)) for binding in parse_stream(StringIO(text)) if _says_nothing(binding)]
    if lines:
        where = f"line {lines[0]}" if len(lines) == 1 else f"lines {', '.join(lines)}"
        raise SettingsError(
            f"The file {dotenv} cannot be read at {where}.",  # without the text, which may be a password
            fix="Write every line as NAME=value, close every quote, and begin a comment with #.",
        )


def _says_nothing(binding: Binding) -> bool:
    """A name alone is allowed: to `docker run --env-file` it means the variable that is there."""
    return binding.error or (binding.value is None and not (binding.key or "_").isidentifier())


def _first_line(binding: Binding) -> int:
    """python-dotenv counts the empty lines above to it."""
    text = binding.original.string
    return binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")


def _explain(field: FieldInfo, kind: str, message: str, value: object) -> str:
    if kind == "missing":
        return "is required and not set"
    wanted = message if kind == _OURS else f"must be {_allowed(field)}"
    if re.search("[@?]", str(value)):  # a password in a URL, a signature in its query
        return f"{wanted} (what it is now may hold a password and is not shown)"
    return f"{wanted}; it is {str(value)[:SHOWN_CHARACTERS]!r}"


def _allowed(field: FieldInfo) -> str:
    """What a setting may be, in words."""
    if get_origin(field.annotation) is Literal:
        return f"one of {', '.join(get_args(field.annotation))}"
    if field.annotation is bool:
        return "true or false"
    bounds = {name: getattr(rule, name) for rule in field.metadata for name in ("ge", "le") if hasattr(rule, name)}
    kind = "a whole number" if field.annotation is int else "a number"
    return f"{kind} from {bounds['ge']} to {bounds['le']}" if "le" in bounds else f"{kind}, at least {bounds['ge']}"


def _report(problems: list[Problem]) -> str:
    lines = [f"{len(problems)} of the settings {'is' if len(problems) == 1 else 'are'} wrong:"]
    for problem in problems:
        name = problem.names[0]
        lines += [
            f"  {name}: {problem.text}",
            f"    {Settings.model_fields[name.lower()].description}",
            f"    for example: {name}={problem.example}",
        ]
    lines.append("Set them in the environment or in a .env file; the README explains each.")
    return "\n".join(lines)
