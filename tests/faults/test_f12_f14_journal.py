"""F12 and F14 under the whole path: the disk is full for a while; a capture died in the middle of a block."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.live_path import OtherDisk
from tests.faults.conftest import Started, assert_invariants, healed

ROOT_NEEDED = pytest.mark.skipif(
    os.geteuid() != 0 or not (shutil.which("unshare") and shutil.which("nsenter")),
    reason="needs root for a tmpfs in a mount namespace of its own",
)
pytestmark = [pytest.mark.services]

RATE = 1_200
DISK_MIB = 8
FREE_BYTES = 600_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A folder that is a small tmpfs in the mount namespace of the process whose id comes with it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    script = f'mount -t tmpfs -o size={DISK_MIB}m tmpfs "{folder}" && echo ready && exec sleep 600'
    holder = subprocess.Popen(["unshare", "-m", "sh", "-c", script], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline().strip() == "ready"
    yield folder, holder.pid
    holder.kill()
    holder.wait()
    holder.stdout.close()


@ROOT_NEEDED
def test_f12_disk_full(live: Started, small_disk: tuple[Path, int]) -> None:
    """Meanwhile the socket's buffer holds what comes and the publisher goes on; nothing is lost."""
    folder, pid = small_disk
    inside = Path(f"/proc/{pid}/root{folder}")
    path = live(disk=OtherDisk(folder, ("nsenter", "-t", str(pid), "-m"), inside))
    path.start_all()
    ballast = inside / "ballast"
    ballast.write_bytes(bytes(DISK_MIB * (1 << 20) - FREE_BYTES))
    path.start_exchange(rate=RATE)
    path.wait_until(lambda: path.stats("capture")["write_failures"] > 1, "the disk is full")
    path.flow_on(400)
    ballast.unlink()
    found = healed(path)
    assert_invariants(path, found)
    assert found.publisher["missing"] == 0


def test_f14_torn_tail(live: Started) -> None:
    """Half a block at the journal's end, as a power loss leaves it, is cut off at the next start; nothing else is."""
    path = live()
    path.start_all()
    path.start_exchange(rate=RATE)
    path.flow_on(500)
    path.kill("capture")
    segment = max((path.data_dir / "journal" / "STO").glob("*.mdj"))
    whole = segment.read_bytes()
    with segment.open("ab") as file:
        file.write(whole[:60])  # the header and a piece of the first entry
    path.start("capture")
    path.wait_ready("capture")
    found = healed(path)
    assert_invariants(path, found)
