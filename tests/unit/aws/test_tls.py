"""Whom to trust: the authorities' file is read again when it is another one."""

import errno
import ssl
from pathlib import Path

import pytest

from email_processor.aws.tls import Trust
from tests.support.certificates import new_authority


def test_authorities_that_could_not_be_read_are_read_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file was renewed while there was no file descriptor left: what is in it counts as soon as there is one."""

    def refuse(**_options: object) -> ssl.SSLContext:
        raise OSError(errno.EMFILE, "Too many open files")

    (tmp_path / "next").mkdir()
    bundle = new_authority(tmp_path).pem
    trust = Trust(str(bundle))
    used = trust.context
    bundle.write_bytes(new_authority(tmp_path / "next").pem.read_bytes())
    with monkeypatch.context() as without_descriptors:
        without_descriptors.setattr(ssl, "create_default_context", refuse)
        assert not trust.is_other_than(used)
    assert used is trust.context
    assert trust.is_other_than(used)
    assert used.get_ca_certs() != trust.context.get_ca_certs()
    assert not trust.is_other_than(trust.context)
