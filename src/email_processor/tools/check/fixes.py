"""What to do about it: policy statements and commands that can be pasted."""

import json
import re
import shlex
from collections.abc import Sequence
from urllib.parse import urlsplit

from email_processor.tools.check.inspect.asking import Fault
from email_processor.tools.check.inspect.identity import Identity

ENDPOINT_FIX = "See what answers there in place of AWS, and correct the AWS_ENDPOINT_URL variables."

_ACTION = re.compile(r"not authorized to perform: ([a-z0-9]+:\w+)")
_RESOURCE = re.compile(r"on resource: \"?(arn:[\w:/.*+=,@-]+)")
_USER = re.compile(r"User: (arn:\S+) is not authorized")
_ROLE = re.compile(r"arn:[\w-]+:sts::\d+:assumed-role/([^/]+)/")


def allow(action: str, resource: str | Sequence[str], fault: Fault, identity: Identity | None) -> str:
    """Who has to allow what; AWS's own words on action and resource, where it gives them, before ours."""
    named, where = _ACTION.search(fault.error), _RESOURCE.search(fault.error)
    if named and (named[1].lower() != action.lower() or action.startswith("kms:")):  # SQS writes it in lower case
        action, resource = named[1], where[1] if where else resource
    if "explicit deny" in fault.error:
        return f"A policy denies {action}, and no Allow outweighs that: take the Deny out of the policy that is named."
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return f"Add to the policy of {_whom(fault, identity)}:\n{json.dumps(statement)}{_elsewhere(resource, identity)}"


def _whom(fault: Fault, identity: Identity | None) -> str:
    named = _USER.search(fault.error)
    arn = named[1] if named else identity.arn if identity else "the role"
    role = _ROLE.match(arn)
    return f"the role {role[1]}" if role else arn


def _elsewhere(resource: str | Sequence[str], identity: Identity | None) -> str:
    parts = resource.split(":") if isinstance(resource, str) else []
    if identity is None or len(parts) < 6 or parts[4] in {"", identity.account}:  # noqa: PLR2004 - an ARN has six parts
        return ""
    return f"\nIt is in account {parts[4]}, so its own policy has to allow {identity.arn} as well."


def queue_arn(url: str, region: str) -> str:
    """The queue's ARN, as its URL tells it."""
    account, name = urlsplit(url).path.rsplit("/", 2)[-2:]
    return f"arn:{partition(region)}:sqs:{region}:{account}:{name}"


def object_arn(bucket: str, prefix: str, region: str) -> str:
    """The ARN of all objects under a prefix."""
    return f"{bucket_arn(bucket, region)}/{prefix}/*"


def bucket_arn(bucket: str, region: str) -> str:
    """The bucket's ARN."""
    return f"arn:{partition(region)}:s3:::{bucket}"


def partition(region: str) -> str:
    """The part of AWS that a region is in, as ARNs name it."""
    if region.startswith("us-gov-"):
        return "aws-us-gov"
    return "aws-cn" if region.startswith("cn-") else "aws"


def command(*words: str) -> str:
    """A shell command."""
    return shlex.join(words)


def set_queue_attributes(url: str, region: str, **attributes: str) -> str:
    """The command that changes the queue's attributes."""
    pairs = json.dumps(attributes)
    return command("aws", "sqs", "set-queue-attributes", "--region", region, "--queue-url", url, "--attributes", pairs)
