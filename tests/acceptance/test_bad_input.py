"""Bad input: each with a clear reason, nothing lost, and the good order beside it is made all the same."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    Run = Callable[..., subprocess.CompletedProcess[str]]

GOOD = {"customer_email": "test@test.com"}

SET_ASIDE: dict[str, tuple[bytes, str]] = {
    "malformed": (b"{not json", "not JSON"),
    "trailing": (b'{"stream_id": "trailing"}}', "not JSON"),
    "list": (b"[1, 2]", "not a JSON object"),
    "latin": (b'{"stream_id": "latin", "customer_email": "t@\xe9.com"}', "not UTF-8"),
    "types": (b'{"stream_id": 7, "customer_email": ["a"]}', "stream_id: Input should be a valid string"),
    "no-email": (b'{"stream_id": "no-email"}', "customer_email: Field required"),
    "header": (b'{"stream_id": "header", "customer_email": "a@b.c\\nBcc: x@y.z"}', "not an e-mail address"),
    "escaping": (b'{"stream_id": "../escaping", "customer_email": "a@b.c"}', "stream_id"),
    "other": (b'{"stream_id": "another", "customer_email": "a@b.c"}', "not the name of the file"),
    "negative": (b'{"stream_id": "negative", "customer_email": "a@b.c", "paid_amount": -1}', "paid_amount"),
    "fraction": (b'{"stream_id": "fraction", "customer_email": "a@b.c", "paid_amount": 4.999}', "not an amount"),
    "date": (b'{"stream_id": "date", "customer_email": "a@b.c", "paid_at": "yesterday"}', "paid_at"),
    "naive": (b'{"stream_id": "naive", "customer_email": "a@b.c", "paid_at": "2026-01-06T14:00:00"}', "paid_at"),
    "deep": (b'{"a":' * 5000 + b"1" + b"}" * 5000, "recursion"),
    "zeros": (b"\0" * 512, "not JSON"),
    "huge": (b" " * 2_000_000, "2000000 bytes"),
}
"""File name to content and a part of the reason."""

WORDS = "The old boat lay on the sand and waited. "


def story(words: int) -> str:
    """A story of that many words."""
    return (WORDS * (words // 9 + 1)).strip().rsplit(" ", (words // 9 + 1) * 9 - words)[0]


def put_story(home: Path, stream_id: str, content: dict[str, Any] | bytes) -> None:
    """An order whose input.json is ``content``."""
    folder = home / "streams" / stream_id
    folder.mkdir(parents=True)
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / "input.json").write_bytes(data)
    put_job(home, stream_id)


def put_job(home: Path, stream_id: str, **fields: Any) -> None:
    """An order."""
    (home / "jobs/pending" / f"{stream_id}.json").write_text(json.dumps({"stream_id": stream_id, **GOOD, **fields}))


def failure(home: Path, stream_id: str) -> str:
    """Why the job is in ``failed``."""
    job = json.loads((home / "jobs/failed" / f"{stream_id}.json").read_bytes())
    assert job["failure"]["reason"] in job["history"][-1]["reason"]
    return str(job["failure"]["reason"])


def test_files_that_are_not_jobs_are_set_aside_as_they_came_with_the_reason(home: Path, run: Run) -> None:
    for name, (content, _) in SET_ASIDE.items():
        (home / "jobs/pending" / f"{name}.json").write_bytes(content)
    (home / "jobs/pending/bad name!.json").write_bytes(b"{}")
    put_job(home, "good")

    made = run("process")

    assert made.returncode == 4
    assert (home / "jobs/review/good.json").exists()
    for name, (content, reason) in SET_ASIDE.items():
        kept = home / "jobs/failed" / f"{name}.json"
        assert kept.read_bytes() == content
        assert reason in kept.with_name(f"{name}.json.reason.txt").read_text()
        assert f"jobs/failed/{name}.json was set aside" in made.stderr
    assert (home / "jobs/failed/bad name!.json").read_bytes() == b"{}"
    assert run("process").returncode == 3


def test_a_half_written_job_is_left_for_the_next_tick_and_made_when_whole(home: Path, run: Run) -> None:
    path = home / "jobs/pending/test.json"
    path.write_text('{"stream_id": "test", "customer_em')

    assert run("process").returncode == 3
    assert path.read_text() == '{"stream_id": "test", "customer_em'

    path.write_text('{"stream_id": "test", "customer_email": "test@test.com"}')
    assert run("process").returncode == 0
    assert (home / "jobs/review/test.json").exists()


def test_a_job_that_broke_off_long_ago_is_set_aside(home: Path, run: Run) -> None:
    path = home / "jobs/pending/test.json"
    path.write_text('{"stream_id": "test"')
    os.utime(path, (time.time() - 3600, time.time() - 3600))

    assert run("process").returncode == 4
    assert "breaks off in the middle" in (home / "jobs/failed/test.json.reason.txt").read_text()


def test_links_pipes_and_folders_among_the_jobs_are_set_aside_untouched(home: Path, run: Run, tmp_path: Path) -> None:
    outside = tmp_path / "outside.json"
    outside.write_text('{"stream_id": "link", "customer_email": "a@b.c"}')
    (home / "jobs/pending/link.json").symlink_to(outside)
    os.mkfifo(home / "jobs/pending/pipe.json")
    (home / "jobs/pending/folder.json").mkdir()

    assert run("process").returncode == 4

    assert (home / "jobs/failed/link.json").is_symlink()
    assert (home / "jobs/failed/pipe.json").is_fifo()
    assert (home / "jobs/failed/folder.json").is_dir()
    for name, reason in (("link", "symbolic link"), ("pipe", "regular file"), ("folder", "regular file")):
        assert reason in (home / "jobs/failed" / f"{name}.json.reason.txt").read_text()
    assert outside.exists()


def test_a_second_job_of_the_same_name_never_covers_the_first(home: Path, run: Run) -> None:
    put_job(home, "test")
    run("process")
    first = (home / "jobs/review/test.json").read_bytes()
    put_job(home, "test")

    assert run("process").returncode == 4

    assert (home / "jobs/review/test.json").read_bytes() == first
    assert "already" in (home / "jobs/failed/test.json.reason.txt").read_text()


BAD_STORIES: dict[str, tuple[dict[str, Any] | bytes, str]] = {
    "short": ({"text": story(799)}, "has 799 words; at least 800"),
    "long": ({"text": story(3501)}, "has 3501 words; at most 3500"),
    "ten-megabytes": ({"text": "word " * 2_000_000}, "bytes; a story has at most"),
    "control": ({"text": story(900) + "\x07"}, "U+0007"),
    "untitled": ({"text": story(900), "title": ""}, "title"),
    "long-title": ({"text": story(900), "title": "x" * 201}, "title"),
    "language": ({"text": story(900), "language": "<script>"}, "language"),
    "other-id": ({"text": story(900), "id": "somebody-else"}, "not the job's stream_id"),
    "text-type": ({"text": 5}, "text: Input should be a valid string"),
    "not-json": (b"{nonsense", "Invalid JSON"),
    "not-utf8": (b'{"id": "not-utf8", "title": "\xff\xfe"}', "Invalid JSON"),
    "japanese-short": ({"text": "海" * 1000, "language": "ja"}, "has 500 words"),
    "thai-short": ({"text": "ทะเล" * 500, "language": "th"}, "at least 800"),
}


@pytest.fixture(scope="module")
def bad_stories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation whose one run has met every bad story."""
    import subprocess
    import sys
    from datetime import UTC, datetime

    from downstream.installation import lay_out

    sys.path.insert(0, str(Path(__file__).parent.parent))
    from conftest import environment

    home = tmp_path_factory.mktemp("bad") / "home"
    lay_out(home, today=datetime.now(UTC).date(), program="downstream")
    for name, (content, _) in BAD_STORIES.items():
        whole = content if isinstance(content, bytes) else {"id": name, "title": "T", "language": "en", **content}
        put_story(home, name, whole)
    (home / "secret.json").write_text("{}")
    put_job(home, "escape", input_path="/streams/../secret.json")
    put_job(home, "absolute", input_path="/etc/passwd")
    put_job(home, "missing", input_path="/streams/missing/input.json")
    put_job(home, "good")
    (home / "streams/linked").mkdir()
    (home / "streams/linked/input.json").symlink_to(home / "secret.json")
    put_job(home, "linked")
    command = [sys.executable, "-m", "downstream", "--home", str(home), "process"]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 4, ended.stderr
    return home


@pytest.mark.parametrize("name", BAD_STORIES)
def test_a_bad_story_fails_with_its_reason_and_is_kept(bad_stories: Path, name: str) -> None:
    assert BAD_STORIES[name][1] in failure(bad_stories, name)
    assert (bad_stories / "streams" / name / "input.json").exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("escape", "leads out of streams/"),
        ("absolute", "leads out of streams/"),
        ("linked", "leads out of streams/"),
        ("missing", "cannot be opened: No such file"),
    ],
)
def test_a_path_that_leads_nowhere_good_fails_with_its_reason(bad_stories: Path, name: str, reason: str) -> None:
    assert reason in failure(bad_stories, name)


def test_the_good_order_beside_them_was_made(bad_stories: Path) -> None:
    assert (bad_stories / "jobs/review/good.json").exists()


GOOD_STORIES = {
    "japanese": {"text": ("海は静かだった。船が沖へ出て行く。\n\n" * 120), "language": "ja"},
    "thai": {"text": ("เรือออกจากท่าในตอนเช้า ทะเลสงบนิ่ง\n\n" * 150), "language": "th"},
    "hebrew": {"text": ("הים היה שקט והסירה יצאה לדרך בבוקר.\n\n" * 130), "language": "he"},
    "windows": {"text": ("The boat lay still.  It waited,\r\nas boats do.\r\n\r\n" * 100), "language": "en"},
}


def test_stories_of_other_scripts_become_pages_with_exactly_their_words(home: Path, run: Run) -> None:
    from downstream.site.read import read_text

    for name, content in GOOD_STORIES.items():
        put_story(home, name, {"id": name, "title": "T", **content})

    assert run("process").returncode == 0
    assert run("review").returncode == 0

    for name, content in GOOD_STORIES.items():
        page = (home / "streams" / name / "public/index.html").read_bytes()
        assert read_text(page) == content["text"]
    assert b'dir="rtl"' in (home / "streams/hebrew/public/index.html").read_bytes()


def test_a_job_of_a_later_version_is_left_as_it_is_and_told_once(
    home: Path, drop: Callable[..., Path], run: Run
) -> None:
    path = drop("later", format=2, paid_amount={"whatever": "it means by then"})
    shutil.copy(path, home / "jobs" / "review" / "elsewhere.json")
    elsewhere = home / "jobs" / "review" / "elsewhere.json"
    before = path.read_bytes()
    drop("now", format=1)

    first, again = run("process"), run("process")
    run("review")

    assert "jobs/pending/later.json was written by a later version of this program" in first.stderr
    assert again.stderr == ""
    assert path.read_bytes() == elsewhere.read_bytes() == before
    assert (home / "jobs" / "completed" / "now.json").exists()
    assert "later version" in run("show", "later").stderr
