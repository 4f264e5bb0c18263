"""The machine's troubles, told apart from those of an order: they say nothing about the work in hand.

Whoever takes a failure for a finding (a clip does not decode, a story cannot be opened) lets these pass first.
"""

from __future__ import annotations

import errno

_MEMORY = "see what else runs here (ps aux --sort=-rss), set JOBS_AT_ONCE and SEGMENTS_AT_ONCE lower"
_MEND = "the kernel has found a fault: see dmesg, then check the disk (fsck) and restart"
WHAT_TO_DO = {
    errno.ENOSPC: "remove what is not needed, or enlarge the disk",
    errno.EDQUOT: "remove what is not needed, or raise the quota",
    errno.EROFS: _MEND,
    errno.EIO: f"{_MEND}; make a backup",
    errno.EMFILE: "raise the limit (ulimit -n, LimitNOFILE), or set JOBS_AT_ONCE and CALLS_AT_ONCE lower",
    errno.ENFILE: "raise the limit (sysctl fs.file-max)",
    errno.EAGAIN: f"too many threads, or too little memory: raise the limit (ulimit -u, TasksMax), {_MEMORY}",
    errno.ENOMEM: _MEMORY,
}
"""Full disk or quota, read-only or broken file system; out of descriptors, threads or memory."""
ABOUT_A_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})

_NEVER_A_FILM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE})


def is_machine_trouble(error: BaseException) -> bool:
    """It says nothing about the work in hand."""
    return isinstance(error, ImportError) or number_of(error) in WHAT_TO_DO


def is_no_fault_of_a_film(error: BaseException) -> bool:
    """The same for an error of FFmpeg, which says of a broken film, too, that it wants memory, or cannot be read."""
    return number_of(error) in _NEVER_A_FILM


def number_of(error: BaseException) -> int:
    """The system's number for it; 0 where there is none."""
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    if isinstance(error, RuntimeError) and str(error) == "can't start new thread":  # CPython has no type for it
        return errno.EAGAIN
    return (error.errno or 0) if isinstance(error, OSError) else 0
