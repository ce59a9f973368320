"""The CloudFormation template: what it makes is what the service works on."""

import uuid

import pytest

from tests.deploy.account import ISSUER, PROVIDER, SENDER, Account, AccountTests
from tests.deploy.chart import ROOT
from tests.support.emulators import Emulator, client

TEMPLATE = (ROOT / "infra" / "cloudformation" / "email-processor.yaml").read_text()


def stack(emulator: Emulator, **parameters: str) -> Account:
    """Deploy the template."""
    name = f"ep-{uuid.uuid4().hex[:8]}"
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in {**parameters, "Name": name}.items()]
    cloud = client("cloudformation", emulator.url)
    cloud.create_stack(StackName=name, TemplateBody=TEMPLATE, Parameters=given, Capabilities=["CAPABILITY_NAMED_IAM"])
    (found,) = cloud.describe_stacks(StackName=name)["Stacks"]
    assert "CREATE_COMPLETE" == found["StackStatus"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}
    return Account(emulator, name, outputs["QueueUrl"], outputs["BucketName"], outputs["KeyArn"])


@pytest.fixture(scope="module")
def account(moto: Emulator) -> Account:
    """A stack for IRSA with a sender."""
    return stack(moto, OidcProviderArn=PROVIDER, OidcIssuer=ISSUER, SenderArn=SENDER)


class TestStack(AccountTests):
    """The account of the stack."""


def test_without_a_provider_the_role_is_for_pod_identity(moto: Emulator) -> None:
    """Then EKS Pod Identity takes the role."""
    (statement,) = stack(moto, GlacierAfterDays="0").trust["Statement"]
    assert {"Service": "pods.eks.amazonaws.com"} == statement["Principal"]
