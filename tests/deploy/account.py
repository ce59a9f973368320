"""What the templates make in an account: the same for CloudFormation and for Terraform."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.chart import ROOT
from tests.support.emulators import Bucket, Emulator, Queue, client
from tests.support.mail import emails
from tests.support.site import Site

ISSUER = "oidc.eks.us-east-1.amazonaws.com/id/ABC"
PROVIDER = f"arn:aws:iam::123456789012:oidc-provider/{ISSUER}"
SENDER = "arn:aws:iam::123456789012:role/email-validation"
POD_IDENTITY = {
    "StringEquals": {
        "aws:SourceAccount": "123456789012",
        "aws:RequestTag/kubernetes-namespace": "email-processor",
        "aws:RequestTag/kubernetes-service-account": "email-processor",
    }
}
QUARANTINE = "set-aside"  # another prefix than the default, which a template could have written out
ON_CALL = "arn:aws:sns:us-east-1:123456789012:on-call"


@dataclass(frozen=True, slots=True)
class Account:
    """What a template made in an emulator, by the names in its outputs."""

    emulator: Emulator
    name: str
    queue_url: str
    bucket_name: str
    key_arn: str

    @property
    def queue(self) -> Queue:
        """The queue that it made, where the emulator can be reached."""
        return Queue(self.emulator, self.emulator.url + re.sub(r"^https?://[^/]+", "", self.queue_url))

    @property
    def bucket(self) -> Bucket:
        """The bucket that it made."""
        return Bucket(self.emulator, self.bucket_name)

    @property
    def trust(self) -> Any:  # noqa: ANN401 - JSON
        """Who may take the role."""
        document = client("iam", self.emulator.url).get_role(RoleName=self.name)["Role"]["AssumeRolePolicyDocument"]
        return json.loads(document) if isinstance(document, str) else document

    def allowed(self) -> set[str]:
        """What the role may do."""
        return _actions(self._policy())

    def managed(self, whose: str) -> set[str]:
        """What a policy for people allows."""
        return _actions(self._managed(whose))

    def resources(self, sid: str, whose: str | None = None) -> set[str]:
        """What a statement is about, of the role's policy or of one for people."""
        policy = self._managed(whose) if whose else self._policy()
        return _gathered(it["Resource"] for it in policy["Statement"] if it["Sid"] == sid)

    def _policy(self) -> Any:  # noqa: ANN401 - JSON
        policy = client("iam", self.emulator.url).get_role_policy(RoleName=self.name, PolicyName="archive")
        # moto hands it out as Python writes a dict, which YAML reads
        return yaml.safe_load(str(policy["PolicyDocument"]))

    def _managed(self, whose: str) -> Any:  # noqa: ANN401 - JSON
        iam = client("iam", self.emulator.url)
        policies = iam.list_policies(Scope="Local", MaxItems=1000)["Policies"]
        (policy,) = (it for it in policies if it["PolicyName"] == f"{self.name}-{whose}")
        version = iam.get_policy_version(PolicyArn=policy["Arn"], VersionId=policy["DefaultVersionId"])
        return yaml.safe_load(str(version["PolicyVersion"]["Document"]))


def _actions(policy: Any) -> set[str]:  # noqa: ANN401 - JSON
    return _gathered(statement["Action"] for statement in policy["Statement"])


def _gathered(fields: Iterable[str | list[str]]) -> set[str]:
    """IAM writes one string as itself, several as a list."""
    return {value for it in fields for value in ([it] if isinstance(it, str) else it)}


class AccountTests:
    """What holds of an account for IRSA with a sender, whatever made it: the fixture `account` says what."""

    def test_the_service_archives_what_is_sent(self, account: Account, tmp_path: Path) -> None:
        """Emails that are sent to the queue of the template are in its bucket, encrypted with its key."""
        site = Site(account.queue, account.bucket, tmp_path)
        sent = account.queue.send_all(emails(5))
        with site.service(S3_SSE="aws:kms", S3_KMS_KEY_ID=account.key_arn) as service:
            service.wait_until("messages_archived_total", 5)
            assert 0 == service.stop()
        assert account.bucket.message_ids() == sorted(sent)
        head = account.emulator.s3.head_object(Bucket=account.bucket_name, Key=account.bucket.listing()[0])
        assert ("aws:kms", account.key_arn) == (head["ServerSideEncryption"], head["SSEKMSKeyId"])

    def test_the_queue_keeps_what_it_cannot_deliver(self, account: Account) -> None:
        """Messages stay for two weeks, and after five receives go to a queue that keeps them as long."""
        attributes = account.queue.attributes()
        policy = json.loads(attributes["RedrivePolicy"])
        assert ("1209600", "300", 5) == (
            attributes["MessageRetentionPeriod"],
            attributes["VisibilityTimeout"],
            int(policy["maxReceiveCount"]),
        )
        assert policy["deadLetterTargetArn"].endswith(f":{account.name}-emails-dead")

    def test_the_role_may_do_what_the_service_does_and_no_more(self, account: Account) -> None:
        """Least privilege: the permissions of the README, for the service and for who uses the archive."""
        blocks = re.findall(r"```json\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
        service, reader, operator = (_actions(json.loads(block)) for block in blocks if '"Statement"' in block)
        assert service == account.allowed()
        assert reader == account.managed("reader")
        assert operator == account.managed("operator")

    def test_the_role_reaches_the_two_prefixes_only(self, account: Account) -> None:
        """Whatever else is in the bucket is none of its business, and an operator deletes in quarantine only."""
        emails_and_quarantine = [f"arn:aws:s3:::{account.bucket_name}/{it}/*" for it in ("emails", QUARANTINE)]
        assert set(emails_and_quarantine) == account.resources("Objects")
        assert {emails_and_quarantine[1]} == account.resources("EndQuarantine", whose="operator")

    def test_only_the_releases_service_account_takes_the_role(self, account: Account) -> None:
        """The trust policy of IRSA names provider, audience and service account."""
        (statement,) = account.trust["Statement"]
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
