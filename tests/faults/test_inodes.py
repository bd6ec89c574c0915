"""The identity of a file at a path is the same with and without the system call that does not read its times."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dibs.platform import file_identity

pytestmark = pytest.mark.only_on("sqlite", reason="a server's files are its own concern")

WAYS = [file_identity._by_stat]
if file_identity._statx is not None:
    WAYS.append(file_identity._by_statx)


@pytest.mark.parametrize("file_at", WAYS)
def test_a_file_is_known_by_its_device_and_number(tmp_path: Path, file_at: object) -> None:
    """A link has the identity of its target, a copy has another, and a missing file raises an error."""
    assert callable(file_at)
    path, link = tmp_path / "ä file", tmp_path / "link"
    path.write_text("one")
    link.symlink_to(path)
    first = file_at(os.fsencode(path))
    assert first == file_at(os.fsencode(link)) == file_identity.file_of(path.stat())
    (tmp_path / "other").write_text("one")
    (tmp_path / "other").replace(path)
    assert file_at(os.fsencode(path)) != first
    path.unlink()
    with pytest.raises(FileNotFoundError):
        file_at(os.fsencode(link))
    assert file_at(b"/dev/null") == file_identity.file_of(Path("/dev/null").stat())


def test_a_size_is_asked_without_times_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size is that of the file system, with and without that system call."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 12_345)
    sizes = [file_identity.size_at(os.fsencode(path))]
    monkeypatch.setattr(file_identity, "_statx", None)
    sizes.append(file_identity.size_at(os.fsencode(path)))
    assert sizes == [12_345, 12_345]
    with pytest.raises(FileNotFoundError):
        file_identity.size_at(os.fsencode(tmp_path / "missing"))
