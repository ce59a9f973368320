"""The CloudFormation template: what it makes is what the service works on."""

import json
import re
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.session import Session

from tests.deploy.chart import ROOT
from tests.mail import emails
from tests.servers import ACCESS_KEY, REGION, SECRET_KEY, Bucket, Emulator, Queue
from tests.site import Site

TEMPLATE = (ROOT / "infra" / "cloudformation" / "email-processor.yaml").read_text()
ISSUER = "oidc.eks.us-east-1.amazonaws.com/id/ABC"
PROVIDER = f"arn:aws:iam::123456789012:oidc-provider/{ISSUER}"
SENDER = "arn:aws:iam::123456789012:role/email-validation"


class Stack:
    """A stack of the template in an emulator."""

    def __init__(self, emulator: Emulator, **parameters: str) -> None:
        """Deploy it."""
        self._emulator = emulator
        self.name = f"ep-{uuid.uuid4().hex[:8]}"
        given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
        given.append({"ParameterKey": "Name", "ParameterValue": self.name})
        cloud = self.client("cloudformation")
        cloud.create_stack(
            StackName=self.name, TemplateBody=TEMPLATE, Parameters=given, Capabilities=["CAPABILITY_NAMED_IAM"]
        )
        (stack,) = cloud.describe_stacks(StackName=self.name)["Stacks"]
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def client(self, service: str) -> Any:  # noqa: ANN401 - botocore makes its clients while the program runs
        """A client of the emulator."""
        return Session().create_client(
            service,
            region_name=REGION,
            endpoint_url=self._emulator.url,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )

    @property
    def queue(self) -> Queue:
        """The queue that it made, where the emulator can be reached."""
        return Queue(self._emulator, self._emulator.url + re.sub(r"^https?://[^/]+", "", self.outputs["QueueUrl"]))

    @property
    def bucket(self) -> Bucket:
        """The bucket that it made."""
        return Bucket(self._emulator, self.outputs["BucketName"])

    @property
    def trust(self) -> Any:  # noqa: ANN401 - JSON
        """Who may take the role."""
        document = self.client("iam").get_role(RoleName=self.name)["Role"]["AssumeRolePolicyDocument"]
        return json.loads(document) if isinstance(document, str) else document

    def allowed(self) -> set[str]:
        """What the role may do."""
        policy = self.client("iam").get_role_policy(RoleName=self.name, PolicyName="archive")["PolicyDocument"]
        actions: set[str] = set()
        # moto hands it out as Python writes a dict, which YAML reads
        for statement in yaml.safe_load(str(policy))["Statement"]:
            found = statement["Action"]
            actions |= {found} if isinstance(found, str) else set(found)
        return actions


@pytest.fixture(scope="module")
def stack(moto: Emulator) -> Stack:
    """A stack for IRSA with a sender."""
    return Stack(moto, OidcProviderArn=PROVIDER, OidcIssuer=ISSUER, SenderArn=SENDER)


def test_the_service_archives_what_is_sent_to_the_stack(stack: Stack, tmp_path: Path) -> None:
    """Emails that are sent to the queue of the template are in its bucket, encrypted with its key."""
    site = Site(stack.queue, stack.bucket, tmp_path)
    sent = stack.queue.send_all(emails(5))
    with site.service(S3_SSE="aws:kms", S3_KMS_KEY_ID=stack.outputs["KeyArn"]) as service:
        service.wait_until("messages_archived_total", 5)
        assert service.stop() == 0
    assert stack.bucket.message_ids() == sorted(sent)
    head = stack.client("s3").head_object(Bucket=stack.bucket.name, Key=stack.bucket.listing()[0])
    assert ("aws:kms", stack.outputs["KeyArn"]) == (head["ServerSideEncryption"], head["SSEKMSKeyId"])


def test_the_queue_keeps_what_it_cannot_deliver(stack: Stack) -> None:
    """Messages stay for two weeks, and after five receives go to a queue that keeps them as long."""
    attributes = stack.queue.attributes()
    policy = json.loads(attributes["RedrivePolicy"])
    assert ("1209600", "300", 5) == (
        attributes["MessageRetentionPeriod"],
        attributes["VisibilityTimeout"],
        int(policy["maxReceiveCount"]),
    )
    assert policy["deadLetterTargetArn"].endswith(f":{stack.name}-emails-dead")


def test_the_role_may_do_what_the_service_does_and_no_more(stack: Stack) -> None:
    """Least privilege: the permissions of the README."""
    readme = (ROOT / "README.md").read_text()
    policy = next(
        json.loads(block) for block in re.findall(r"```json\n(.*?)```", readme, re.DOTALL) if '"Statement"' in block
    )
    documented: set[str] = set()
    for statement in policy["Statement"]:
        documented |= {statement["Action"]} if isinstance(statement["Action"], str) else set(statement["Action"])
    assert documented == stack.allowed()


def test_only_the_releases_service_account_takes_the_role(stack: Stack) -> None:
    """The trust policy of IRSA names provider, audience and service account."""
    (statement,) = stack.trust["Statement"]
    assert statement == {
        "Effect": "Allow",
        "Principal": {"Federated": PROVIDER},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringEquals": {
                f"{ISSUER}:aud": "sts.amazonaws.com",
                f"{ISSUER}:sub": "system:serviceaccount:email-processor:email-processor",
            }
        },
    }


def test_without_a_provider_the_role_is_for_pod_identity(moto: Emulator) -> None:
    """Then EKS Pod Identity takes the role."""
    (statement,) = Stack(moto, GlacierAfterDays="0").trust["Statement"]
    assert statement["Principal"] == {"Service": "pods.eks.amazonaws.com"}
