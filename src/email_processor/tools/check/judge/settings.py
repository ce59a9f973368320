"""The settings."""

import difflib
from collections.abc import Collection, Iterator, Sequence

from email_processor.settings import Problem, Settings
from email_processor.tools.check.findings import Finding, failed, ok, warning

UPLOADS_IN_A_LEASE = 3
ALIKE = 0.86  # of difflib's ratio: a missing or wrong letter, or a missing unit, and no more


def judge_settings(settings: Settings, problems: Sequence[Problem], names: Collection[str]) -> Iterator[Finding]:
    """`names` are the variables that are set."""
    yield from _problems("EP101", [problem for problem in problems if len(problem.names) == 1], _how_many(settings))
    yield from _problems("EP102", [problem for problem in problems if len(problem.names) > 1], "all hold")
    yield _visibility(settings)
    yield from _look_alikes(settings, names)


def _problems(code: str, problems: Sequence[Problem], otherwise: str) -> Iterator[Finding]:
    for problem in problems:
        name = problem.names[0]
        yield failed(code, problem.text, fix=f"For example:\n{name}={problem.example}", about=name)
    if not problems:
        yield ok(code, otherwise)


def _how_many(settings: Settings) -> str:
    given = sorted(name.upper() for name in settings.model_fields_set)
    rest = len(Settings.model_fields) - len(given)
    return f"{len(given)} set ({', '.join(given)}), {rest} at their defaults"


def _visibility(settings: Settings) -> Finding:
    visibility, upload = settings.visibility_timeout_seconds, settings.s3_timeout_seconds
    if visibility < UPLOADS_IN_A_LEASE * upload:
        least = int(UPLOADS_IN_A_LEASE * upload)
        return warning(
            "EP103",
            f"{visibility} s is less than three uploads of {upload:g} s (S3_TIMEOUT_SECONDS)",
            fix=f"Raise it, or lower S3_TIMEOUT_SECONDS:\nVISIBILITY_TIMEOUT_SECONDS={least}",
        )
    return ok("EP103", f"{visibility} s, room for {visibility / upload:.0f} uploads of {upload:g} s")


def _look_alikes(settings: Settings, names: Collection[str]) -> Iterator[Finding]:
    known = [name.upper() for name in Settings.model_fields]
    meant = {
        name: close[0]
        for name in sorted(names)
        if name.upper() not in known and (close := difflib.get_close_matches(name.upper(), known, n=1, cutoff=ALIKE))
    }
    for name, setting in meant.items():
        yield warning(
            "EP104", "is set, but there is no such setting", fix=f"If {setting} is meant, rename it.", about=name
        )
    if "AWS_DEFAULT_REGION" in names and "aws_region" not in settings.model_fields_set:
        yield warning(
            "EP104",
            f"is set, but only AWS_REGION is read, which is {settings.aws_region} by default",
            fix=f"Say which region is meant:\nAWS_REGION={settings.aws_region}",
            about="AWS_DEFAULT_REGION",
        )
    elif not meant:
        yield ok("EP104", "none")
