"""File systems on which a write-ahead log cannot be shared are refused before the database is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from dibs.database.sqlite.filesystems import is_unsafe, refuse_unsafe
from dibs.platform import file_systems
from dibs.platform.file_systems import MOUNTS, file_system
from dibs_schema.refusals import UnsafeFilesystem
from races.servers import serving

pytestmark = pytest.mark.only_on("sqlite", reason="these faults are those of a file; a server has tests of its own")

LINE = "{number} 1 0:{number} / {point} rw,relatime shared:{number} - {kind} source rw\n"


class Mounts:
    """Lets this machine have the given mounts."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def have(self, *points: tuple[str, str]) -> None:
        """Write the file of mounts."""
        self._file.write_text("".join(LINE.format(number=n, point=p, kind=k) for n, (p, k) in enumerate(points, 20)))


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mounts:
    """The mounts of a Linux machine."""
    monkeypatch.setattr(file_systems, "MOUNTS", tmp_path / "mountinfo")
    return Mounts(tmp_path / "mountinfo")


def kind_of(path: str) -> str | None:
    """Return the type of the file system of a path."""
    found = file_system(Path(path))
    return found.kind if found is not None else None


@pytest.mark.parametrize(
    "kind",
    ["nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "fuse.sshfs", "fuse.gocryptfs", "fuseblk", "drvfs"],
)
def test_what_reaches_other_machines_or_kernels_is_refused(mounts: Mounts, kind: str) -> None:
    """The refusal names the file system and the next step."""
    mounts.have(("/", "ext4"), ("/shared", kind))
    with pytest.raises(UnsafeFilesystem) as refused:
        refuse_unsafe(Path("/shared/project/.dibs/features.db"))
    assert refused.value.details == {"file_system": kind}
    assert "PostgreSQL" in refused.value.message
    refuse_unsafe(Path("/home/project/.dibs/features.db"))


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "apfs", "zfs", "f2fs"])
def test_what_one_kernel_serves_is_accepted(mounts: Mounts, kind: str) -> None:
    """Local file systems pass, also inside an unsafe one."""
    mounts.have(("/", "nfs"), ("/net/local", kind))
    refuse_unsafe(Path("/net/local/features.db"))


def test_the_longest_mount_point_decides_by_whole_names(mounts: Mounts) -> None:
    """`/data-nfs` is not inside `/data`, and of two mounts on one point the later mount counts."""
    mounts.have(
        ("/", "ext4"),
        ("/data", "nfs4"),
        ("/data/local", "xfs"),
        ("/over", "nfs"),
        ("/over", "tmpfs"),
        ("/with\\040space", "cifs"),
    )
    assert kind_of("/data/f.db") == "nfs4"
    assert kind_of("/data/local/f.db") == "xfs"
    assert kind_of("/data-nfs/f.db") == "ext4"
    assert kind_of("/over/f.db") == "tmpfs"
    assert kind_of("/with space/f.db") == "cifs"


def test_a_link_is_followed_to_the_file_system_it_leads_to(mounts: Mounts, tmp_path: Path) -> None:
    """The file system of a link's target counts, not that of the link."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    mounts.have(("/", "ext4"), (f"{tmp_path}/real", "nfs"))
    assert kind_of(f"{tmp_path}/link/f.db") == "nfs"


@pytest.mark.usefixtures("mounts")
def test_a_system_without_mountinfo_is_trusted(tmp_path: Path) -> None:
    """Without mount information nothing is refused."""
    assert file_system(tmp_path) is None


@pytest.mark.skipif(not MOUNTS.exists(), reason="mountinfo is Linux's")
def test_a_server_on_an_unsafe_file_system_says_so() -> None:
    """A real unsafe mount of this machine is refused, and no file is made on it."""
    points = [Path(line.split()[4]) for line in MOUNTS.read_text().splitlines()]
    unsafe = next((point for point in points if point.is_dir() and is_unsafe(point)), None)
    if unsafe is None:
        pytest.skip("no file system that is refused is mounted here")
    before = sorted(unsafe.iterdir())
    with serving(unsafe / "dibs-test.db") as start:
        assert isinstance(start().refusal("feature_claim_and_get"), UnsafeFilesystem)
    assert sorted(unsafe.iterdir()) == before
