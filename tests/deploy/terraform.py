"""The Terraform module: valid, and what it makes is what the service works on. Run by `make terraform-check`.

Not collected with the other tests: it needs terraform and the AWS provider, which no package has. `terraform init`
finds the provider in the registry, or where TF_CLI_ARGS_init=-plugin-dir=DIR says.
"""

import json
import subprocess
import uuid
from pathlib import Path

import pytest

from tests.deploy.account import ON_CALL, POD_IDENTITY, PROVIDER, QUARANTINE, SENDER, Account, AccountTests
from tests.deploy.chart import ROOT
from tests.support.emulators import REGION, Emulator, aws_environment
from tests.support.environment import clean_environment

MODULE = ROOT / "infra" / "terraform"


class Terraform:
    """Terraform in a folder with a module of one call: ours."""

    def __init__(self, folder: Path, emulator: Emulator, **arguments: object) -> None:
        """Call the module with `arguments`, in an emulator's account."""
        self._folder = folder
        self.emulator = emulator
        self.name = f"ep-{uuid.uuid4().hex[:8]}"
        provider = {
            "skip_credentials_validation": True,
            "skip_metadata_api_check": True,
            "skip_requesting_account_id": True,
            "s3_use_path_style": True,
        }
        document = {
            "provider": {"aws": provider},
            "module": {"made": {"source": str(MODULE), "name": self.name, **arguments}},
            "output": {"made": {"value": "${module.made}"}},
        }
        (folder / "main.tf.json").write_text(json.dumps(document))
        self("init")

    def __call__(self, command: str, *options: str) -> str:
        """Run a command of terraform; what it printed. AssertionError if it failed."""
        variables = {"AWS_REGION": REGION, "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
        done = subprocess.run(
            ["terraform", f"-chdir={self._folder}", command, "-no-color", *options],  # noqa: S607 - wherever it is
            env=clean_environment() | aws_environment(self.emulator.url) | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert 0 == done.returncode, f"terraform {command}: {done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def terraform(ministack: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    """A call of the module, for IRSA with a sender."""
    arguments = {
        "oidc_provider_arn": PROVIDER,
        "sender_arns": [SENDER],
        "alarm_actions": [ON_CALL],
        "key_prefix": "/emails/",  # as the service takes it, which strips slashes
        "quarantine_prefix": f"{QUARANTINE}/",
    }
    return Terraform(tmp_path_factory.mktemp("terraform"), ministack, **arguments)


def test_the_module_is_valid(terraform: Terraform) -> None:
    """Terraform and the AWS provider find no error and nothing to warn of."""
    found = json.loads(terraform("validate", "-json"))
    assert (True, []) == (found["valid"], found["diagnostics"])


@pytest.fixture(scope="module")
def account(terraform: Terraform) -> Account:
    """What the module makes."""
    terraform("apply", "-auto-approve")
    made = json.loads(terraform("output", "-json", "made"))
    return Account(terraform.emulator, terraform.name, made["queue_url"], made["bucket_name"], made["key_arn"])


class TestModule(AccountTests):
    """The account of the module."""


def test_without_a_provider_the_role_is_for_pod_identity(ministack: Emulator, tmp_path: Path) -> None:
    """Then EKS Pod Identity takes the role."""
    terraform = Terraform(tmp_path, ministack, glacier_after_days=0)
    terraform("plan", "-out=plan")
    planned = json.loads(terraform("show", "-json", "plan"))["planned_values"]["root_module"]["child_modules"][0]
    (role,) = [it["values"] for it in planned["resources"] if it["type"] == "aws_iam_role"]
    (statement,) = json.loads(role["assume_role_policy"])["Statement"]
    assert {"Service": "pods.eks.amazonaws.com"} == statement["Principal"]
    assert POD_IDENTITY["StringEquals"].keys() == statement["Condition"]["StringEquals"].keys()


def test_only_emails_below_their_prefix_go_to_glacier(account: Account) -> None:
    """However many slashes it was given with."""
    lifecycle = account.emulator.s3.get_bucket_lifecycle_configuration(Bucket=account.bucket_name)
    prefixes = {rule["ID"]: rule["Filter"].get("Prefix") for rule in lifecycle["Rules"]}
    assert "emails/" == prefixes["emails-to-glacier"]


def test_alarms_that_need_no_pod_tell_who_is_on_call(terraform: Terraform) -> None:
    """One for emails that wait too long, one for what was given up on."""
    terraform("plan", "-out=plan")
    planned = json.loads(terraform("show", "-json", "plan"))["planned_values"]["root_module"]["child_modules"][0]
    alarms = [it["values"] for it in planned["resources"] if it["type"] == "aws_cloudwatch_metric_alarm"]
    assert {("ApproximateAgeOfOldestMessage", 600), ("ApproximateNumberOfMessagesVisible", 0)} == {
        (alarm["metric_name"], alarm["threshold"]) for alarm in alarms
    }
    assert [[ON_CALL]] * 4 == [actions for alarm in alarms for actions in (alarm["alarm_actions"], alarm["ok_actions"])]


def test_nobody_writes_over_an_object_or_without_tls(account: Account) -> None:
    """The bucket's policy holds what the service promises, whoever writes."""
    policy = json.loads(account.emulator.s3.get_bucket_policy(Bucket=account.bucket_name)["Policy"])
    conditions = {it["Sid"]: it["Condition"] for it in policy["Statement"] if it["Effect"] == "Deny"}
    assert {
        "OnlyEncrypted": {"Bool": {"aws:SecureTransport": "false"}},
        "NeverOverwrite": {"Null": {"s3:if-none-match": "true"}},
    } == conditions
