"""The CloudFormation template: what it makes is what the service works on."""

import re
import uuid

import pytest
import yaml

from tests.deploy.account import ISSUER, ON_CALL, POD_IDENTITY, PROVIDER, QUARANTINE, SENDER, Account, AccountTests
from tests.deploy.chart import ROOT
from tests.support.emulators import Emulator, client

TEXT = (ROOT / "infra" / "cloudformation" / "email-processor.yaml").read_text()


class Tagged(yaml.SafeLoader):
    """Reads a template: `!Ref Queue` becomes {"Ref": "Queue"}."""


Tagged.add_multi_constructor(
    "!",
    lambda loader, name, node: {
        name: loader.construct_scalar(node)
        if isinstance(node, yaml.ScalarNode)
        else loader.construct_sequence(node, deep=True)
    },
)


TEMPLATE = yaml.load(TEXT, Tagged)  # noqa: S506 - a safe loader
RESOURCES = TEMPLATE["Resources"]


def stack(emulator: Emulator, **parameters: str) -> Account:
    """Deploy the template."""
    name = f"ep-{uuid.uuid4().hex[:8]}"
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in {**parameters, "Name": name}.items()]
    cloud = client("cloudformation", emulator.url)
    cloud.create_stack(StackName=name, TemplateBody=TEXT, Parameters=given, Capabilities=["CAPABILITY_NAMED_IAM"])
    (found,) = cloud.describe_stacks(StackName=name)["Stacks"]
    assert "CREATE_COMPLETE" == found["StackStatus"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}
    return Account(emulator, name, outputs["QueueUrl"], outputs["BucketName"], outputs["KeyArn"])


@pytest.fixture(scope="module")
def account(moto: Emulator) -> Account:
    """A stack for IRSA with a sender."""
    return stack(moto, OidcProviderArn=PROVIDER, SenderArn=SENDER, AlarmActions=ON_CALL, QuarantinePrefix=QUARANTINE)


class TestStack(AccountTests):
    """The account of the stack."""


def test_without_a_provider_the_role_is_for_pod_identity(moto: Emulator) -> None:
    """Then EKS Pod Identity takes the role."""
    (statement,) = stack(moto, GlacierAfterDays="0").trust["Statement"]
    assert {"Service": "pods.eks.amazonaws.com"} == statement["Principal"]
    assert POD_IDENTITY == statement["Condition"]


def test_alarms_that_need_no_pod_tell_who_is_on_call() -> None:
    """One for emails that wait too long, one for what was given up on; read, since the emulator makes no alarms."""
    alarms = [it["Properties"] for it in RESOURCES.values() if it["Type"] == "AWS::CloudWatch::Alarm"]
    told = {"If": ["HasAlarmActions", {"Ref": "AlarmActions"}, {"Ref": "AWS::NoValue"}]}
    assert {
        "ApproximateAgeOfOldestMessage": ({"GetAtt": "Queue.QueueName"}, {"Ref": "OldestMessageAlarmSeconds"}),
        "ApproximateNumberOfMessagesVisible": ({"GetAtt": "DeadLetterQueue.QueueName"}, 0),
    } == {alarm["MetricName"]: (alarm["Dimensions"][0]["Value"], alarm["Threshold"]) for alarm in alarms}
    assert [told] * 4 == [actions for alarm in alarms for actions in (alarm["AlarmActions"], alarm["OKActions"])]


def test_nobody_writes_over_an_object_or_without_tls() -> None:
    """The bucket's policy holds what the service promises, whoever writes; read, since the emulator makes none."""
    statements = RESOURCES["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    denied = {it["Sid"]: it for it in statements if (it["Effect"], it["Principal"]) == ("Deny", "*")}
    assert {"Bool": {"aws:SecureTransport": "false"}} == denied["OnlyEncrypted"]["Condition"]
    assert {"Null": {"s3:if-none-match": "true"}} == denied["NeverOverwrite"]["Condition"]
    assert [{"Sub": f"${{Bucket.Arn}}/${{{prefix}Prefix}}/*"} for prefix in ("Key", "Quarantine")] == denied[
        "NeverOverwrite"
    ]["Resource"]


@pytest.mark.parametrize("provider", [ISSUER, f"https://{ISSUER}", PROVIDER.removesuffix("/id/ABC"), f"{PROVIDER}\n"])
def test_a_provider_that_is_none_is_refused(provider: str) -> None:
    """It would make a role that nobody can take. Terraform has the same rule."""
    pattern = TEMPLATE["Parameters"]["OidcProviderArn"]["AllowedPattern"]
    assert re.fullmatch(pattern, PROVIDER)
    assert not re.fullmatch(pattern, provider)
    assert f'regex("^{pattern[1:-2]}$"' in (ROOT / "infra" / "terraform" / "variables.tf").read_text()


PREFIXES = {"mail/all": True, "emails": True, "/mail": False, "mail/": False, "a//b": False, "/": False, "a b": False}


@pytest.mark.parametrize("parameter", ["KeyPrefix", "QuarantinePrefix"])
def test_a_prefix_that_no_key_is_below_is_refused(parameter: str) -> None:
    """The service strips slashes, and a template cannot: with one the role could write nothing at all."""
    pattern = TEMPLATE["Parameters"][parameter]["AllowedPattern"]
    assert PREFIXES == {prefix: re.fullmatch(pattern, prefix) is not None for prefix in PREFIXES}


def test_terraform_takes_every_prefix_as_the_service_does() -> None:
    """It strips the slashes in one place, and nothing goes by the prefix as it was given."""
    files = sorted((ROOT / "infra" / "terraform").glob("*.tf"))
    used = [
        line.strip()
        for file in files
        if file.name != "variables.tf"
        for line in file.read_text().splitlines()
        if re.search(r"var\.\w+_prefix", line)
    ]
    assert [
        'key_prefix        = trim(var.key_prefix, "/")',
        'quarantine_prefix = trim(var.quarantine_prefix, "/")',
    ] == used
