"""What the runbook needs of `aws`, which no pin has: every service and option is looked up in AWS's models.

Run as a program; it asks where AWS_ENDPOINT_URL says.
"""

import argparse
import json
import os
import re
import sys
from functools import reduce
from typing import Any

import click
from botocore.exceptions import ClientError
from botocore.session import Session


def main(arguments: list[str]) -> int:
    """`aws SERVICE OPERATION --option ...`, `aws s3 ls` and `aws s3 cp URL -`."""
    service, operation, *options = arguments
    client = Session().create_client(service.removesuffix("api"), endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    try:
        if service == "s3":
            click.echo(of_s3(client, operation, options[0]))
        else:
            click.echo(answer(client, operation, options))
    except ClientError as error:
        click.echo(f"An error occurred: {error}", err=True)
        return 254
    return 0


def of_s3(client: Any, operation: str, url: str) -> str:  # noqa: ANN401 - botocore makes its clients while the program runs
    """The keys below a prefix, or an object."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if operation == "cp":
        return str(client.get_object(Bucket=bucket, Key=key)["Body"].read().decode())
    found = client.list_objects_v2(Bucket=bucket, Prefix=key).get("Contents", ())
    return "\n".join(f"2024-12-10 14:30:22 {it['Size']:10} {it['Key'].removeprefix(key)}" for it in found)


def answer(client: Any, operation: str, options: list[str]) -> str:  # noqa: ANN401 - as above
    """What an operation answers, as far as `--query` asks; AssertionError for an option that AWS does not know."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--query")
    parser.add_argument("--output")
    name = "".join(part.capitalize() for part in operation.split("-"))
    members = client.meta.service_model.operation_model(name).input_shape.members
    for member, shape in members.items():
        many = {"nargs": "+"} if shape.type_name == "list" else {"type": int} if shape.type_name == "integer" else {}
        parser.add_argument("--" + re.sub(r"(?<=[a-z])(?=[A-Z])", "-", member).lower(), dest=member, **many)
    given = vars(parser.parse_args(options))
    found = getattr(client, operation.replace("-", "_"))(
        **{key: given[key] for key in members if given[key] is not None}
    )
    found.pop("ResponseMetadata")
    if re.fullmatch(r"[\w.]+", given["query"] or ""):  # what is more than a path is shown whole
        found = reduce(lambda value, name: value[name], given["query"].split("."), found)
    return found if given["output"] == "text" else json.dumps(found, indent=4, default=str)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
