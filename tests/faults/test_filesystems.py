"""File systems on which a write-ahead log cannot be shared are refused before the database is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from dibs.database.sqlite.filesystems import MOUNTS, file_system, refuse_unsafe
from dibs_schema.refusals import UnsafeFilesystem
from races.servers import serving

pytestmark = pytest.mark.only_on("sqlite", reason="these faults are those of a file; a server has tests of its own")

LINE = "{number} 1 0:{number} / {point} rw,relatime shared:{number} - {kind} source rw\n"


def mounts(tmp_path: Path, *points: tuple[str, str]) -> Path:
    """Write a mountinfo file with the given mounts."""
    file = tmp_path / "mountinfo"
    file.write_text("".join(LINE.format(number=n, point=p, kind=k) for n, (p, k) in enumerate(points, 20)))
    return file


@pytest.mark.parametrize(
    "kind",
    ["nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "fuse.sshfs", "fuse.gocryptfs", "fuseblk", "drvfs"],
)
def test_what_reaches_other_machines_or_kernels_is_refused(tmp_path: Path, kind: str) -> None:
    """The refusal names the file system and the next step."""
    there = mounts(tmp_path, ("/", "ext4"), ("/shared", kind))
    with pytest.raises(UnsafeFilesystem) as refused:
        refuse_unsafe(Path("/shared/project/.dibs/features.db"), there)
    assert refused.value.details == {"file_system": kind}
    assert "PostgreSQL" in refused.value.message
    refuse_unsafe(Path("/home/project/.dibs/features.db"), there)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "apfs", "zfs", "f2fs"])
def test_what_one_kernel_serves_is_accepted(tmp_path: Path, kind: str) -> None:
    """Local file systems pass, also inside an unsafe one."""
    refuse_unsafe(Path("/net/local/features.db"), mounts(tmp_path, ("/", "nfs"), ("/net/local", kind)))


def test_the_longest_mount_point_decides_by_whole_names(tmp_path: Path) -> None:
    """`/data-nfs` is not inside `/data`, and of two mounts on one point the later mount counts."""
    there = mounts(
        tmp_path,
        ("/", "ext4"),
        ("/data", "nfs4"),
        ("/data/local", "xfs"),
        ("/over", "nfs"),
        ("/over", "tmpfs"),
        ("/with\\040space", "cifs"),
    )
    assert file_system(Path("/data/f.db"), there) == "nfs4"
    assert file_system(Path("/data/local/f.db"), there) == "xfs"
    assert file_system(Path("/data-nfs/f.db"), there) == "ext4"
    assert file_system(Path("/over/f.db"), there) == "tmpfs"
    assert file_system(Path("/with space/f.db"), there) == "cifs"


def test_a_link_is_followed_to_the_file_system_it_leads_to(tmp_path: Path) -> None:
    """The file system of a link's target counts, not that of the link."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    there = mounts(tmp_path, ("/", "ext4"), (f"{tmp_path}/real", "nfs"))
    assert file_system(tmp_path / "link" / "f.db", there) == "nfs"


def test_a_system_without_mountinfo_is_trusted(tmp_path: Path) -> None:
    """Without mount information nothing is refused."""
    assert file_system(tmp_path, tmp_path / "missing") is None


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


def is_unsafe(point: Path) -> bool:
    """Return whether the file system mounted there is refused."""
    try:
        refuse_unsafe(point)
    except UnsafeFilesystem:
        return True
    return False
