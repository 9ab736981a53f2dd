"""Media inputs: what is read, how much of it, from where, and what is left behind."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import quote

import pytest
import sites
from hypothesis import given
from hypothesis import strategies as st

from worker_runtime.errors import InputRefused, InputUnreadable, WorkerError
from worker_runtime.input_rules import AllowList, InputRules
from worker_runtime.inputs import MediaReader
from worker_runtime.job_folder import JobFolder

PNG = b"\x89PNG\r\n\x1a\n" + b"p" * 600
WAV = b"RIFF\0\0\0\0WAVEfmt " + b"w" * 40
SECRET = "X-Amz-Signature=5ec7e7"


def trickle(request: BaseHTTPRequestHandler) -> None:
    """Send a byte every 50 ms until the test is over."""
    request.send_response(200)
    request.end_headers()
    while not site_of(request).closing.wait(0.05):
        request.wfile.write(b"x")
        request.wfile.flush()


def trickling_headers(request: BaseHTTPRequestHandler) -> None:
    """Never come to the end of the headers."""
    request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not site_of(request).closing.wait(0.05):
        request.wfile.write(b"x")
        request.wfile.flush()


def silence(request: BaseHTTPRequestHandler) -> None:
    """Accept the request and say nothing."""
    site_of(request).closing.wait()


def endless(request: BaseHTTPRequestHandler) -> None:
    """Send chunks for as long as somebody takes them, without saying how many."""
    request.send_response(200)
    request.end_headers()
    while True:
        request.wfile.write(b"x" * 65536)


def site_of(request: BaseHTTPRequestHandler) -> sites.Site:
    """Return the site that a request came to."""
    found = getattr(request.server, "site", None)
    assert isinstance(found, sites.Site)
    return found


PAGES = {
    "/a.png": sites.page(PNG),
    "/b.bin": sites.page(b"just bytes, of no known kind"),
    "/moved": sites.redirect(f"/a.png?{SECRET}", 307),
    "/loop": sites.redirect("/loop"),
    "/inward": sites.redirect("http://127.0.0.2:9/latest/meta-data", 301),
    "/metadata": sites.redirect("//169.254.169.254/latest/meta-data"),
    "/file": sites.redirect("file:///etc/passwd"),
    "/broken": sites.redirect("http://[::1"),
    "/short": sites.page(b"half", Content_Length="900"),
    "/packed": sites.page(b"\x1f\x8b", Content_Encoding="gzip"),
    "/empty": sites.page(b""),
    "/large": sites.page(b"x" * 5000),
    "/unannounced": sites.page(b"x" * 5000, Content_Length=""),
    "/endless": endless,
    "/trickle": trickle,
    "/trickling-headers": trickling_headers,
    "/silence": silence,
    "/failed": sites.page(b"", status=503),
}


@pytest.fixture(scope="module")
def site() -> Iterator[sites.Site]:
    """A site on loopback with all kinds of pages."""
    with sites.serve(PAGES) as found:
        yield found


def reader(
    site: sites.Site | None = None, *, max_file: int = 4000, max_job: int = 9000, total_s: float = 20
) -> MediaReader:
    """Return a reader that may read the site, and nothing else that isn't public."""
    allow = AllowList.parse([site.host] if site else [])
    return MediaReader(InputRules(max_file, max_job, total_s, connections=4, allow=allow))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[JobFolder]:
    """The folder of a job that runs."""
    with JobFolder(tmp_path, "job-1") as found:
        yield found


@given(st.binary(min_size=1, max_size=200))
def test_what_was_encoded_comes_back(content: bytes) -> None:
    """Base64, wrapped in lines or not, and both kinds of data URL give the bytes that went in."""
    text = base64.b64encode(content).decode()
    wrapped = base64.encodebytes(content).decode()
    for media in (text, wrapped, f"data:audio/wav;base64,{text}", f"DATA:;BASE64,{wrapped}", f"data:,{quote(content)}"):
        assert reader().read(media) == content


@given(st.text(max_size=80))
def test_any_text_is_read_or_a_worker_error(text: str) -> None:
    """No input makes anything else than bytes or one of our errors (and no name is asked of the network)."""

    def nobody(host: str, port: int) -> Sequence[str]:
        raise OSError

    try:
        assert MediaReader(InputRules(), resolve=nobody).read(text)
    except WorkerError as error:
        assert error.what


@pytest.mark.parametrize(
    ("media", "says"),
    [
        ("not base64!", "neither a URL nor base64"),
        ("abc", "neither a URL nor base64"),
        ("bäse64==", "neither a URL nor base64"),
        ("data:audio/wav;base64", "has no comma"),
        ("data:audio/wav;base64,?", "neither a URL nor base64"),
        ("", "the file is empty"),
        ("data:,", "the file is empty"),
    ],
)
def test_text_that_is_no_media(media: str, says: str) -> None:
    """Text that is no media is one sentence."""
    with pytest.raises(InputUnreadable, match=says):
        reader().read(media)


def test_reads_urls(site: sites.Site) -> None:
    """A URL is read, through a redirect too, and asked for under its own name."""
    assert reader(site).read(site.url("/a.png")) == PNG
    assert reader(site).read(f"  {site.url('/moved')}\n", "image") == PNG
    assert (f"/a.png?{SECRET}", site.host) in site.seen


@pytest.mark.parametrize(
    ("path", "error", "says"),
    [
        ("/none", InputUnreadable, "answered 404"),
        ("/failed", InputUnreadable, "answered 503"),
        ("/loop", InputUnreadable, "more than 5 redirects"),
        ("/short", InputUnreadable, "broke off"),
        ("/packed", InputUnreadable, "is encoded as gzip"),
        ("/empty", InputUnreadable, "is empty"),
        ("/inward", InputRefused, r"127\.0\.0\.2, which is not a public address"),
        ("/metadata", InputRefused, r"169\.254\.169\.254, which is not a public address"),
        ("/file", InputRefused, r"not http:// or https://"),
        ("/broken", InputRefused, "redirects to something that is no URL"),
        ("/large", InputRefused, "the file is 0.0 MB, and the limit is"),
        ("/unannounced", InputRefused, "the file is over 0.0 MB, and the limit is"),
        ("/endless", InputRefused, "the file is over"),
    ],
)
def test_what_a_site_can_do_wrong(path: str, error: type[WorkerError], says: str, site: sites.Site) -> None:
    """Each way a download fails is one sentence that names no secret."""
    with pytest.raises(error, match=says) as caught:
        reader(site).read(site.url(f"{path}?{SECRET}"))
    assert "5ec7e7" not in str(caught.value)


def test_nobody_listens(site: sites.Site) -> None:
    """A refused connection is one sentence."""
    with sites.serve({}) as gone:
        pass
    with pytest.raises(InputUnreadable, match="no connection to"):
        reader(gone).read(gone.url("/"))


@pytest.mark.parametrize("path", ["/trickle", "/trickling-headers", "/silence"])
def test_the_time_is_limited_in_total(path: str, site: sites.Site) -> None:
    """A site that sends a little now and then, or nothing, holds the worker no longer than the limit."""
    with pytest.raises(InputUnreadable, match="the inputs took longer than 0 s"):
        reader(site, total_s=0.4).read(site.url(path))


def test_kinds_are_checked_by_content(site: sites.Site) -> None:
    """A file is what its first bytes say, whatever its name and the sender's claims are."""
    wav = base64.b64encode(WAV).decode()
    assert reader().read(f"data:text/plain;base64,{wav}", "audio") == WAV
    with pytest.raises(InputRefused, match=r"no image or video \(found audio/wav\)"):
        reader().read(f"data:image/png;base64,{wav}", "image", "video")
    with pytest.raises(InputRefused, match=r"no image \(found first bytes 6a 75 73 74"):
        reader(site).read(site.url("/b.bin"), "image")


def test_too_large_before_it_is_decoded() -> None:
    """Base64 over the limit is refused by its length."""
    with pytest.raises(InputRefused, match="FACTORY_MAX_INPUT_MB"):
        reader(max_file=10).read("A" * 100)


def test_files_keep_their_order_and_get_their_suffix(site: sites.Site, folder: JobFolder) -> None:
    """Several inputs come side by side into the job's folder, in order, named by what they are."""
    media = [site.url("/b.bin"), base64.b64encode(WAV).decode(), site.url("/moved"), "data:,text"]
    paths = reader(site).files(media)
    assert [path.read_bytes()[:4] for path in paths] == [b"just", b"RIFF", b"\x89PNG", b"text"]
    assert [path.suffix for path in paths] == [".bin", ".wav", ".png", ".bin"]
    assert {path.parent for path in paths} == {folder.path}
    assert reader(site).file(site.url("/a.png"), "image").read_bytes() == PNG


def test_the_first_failure_stops_the_others(site: sites.Site, folder: JobFolder) -> None:
    """One input that fails ends the job with its own error, not with that of those which it stopped."""
    with pytest.raises(InputUnreadable, match="answered 404"):
        reader(site).files([site.url("/trickle"), site.url("/trickle"), site.url("/none"), site.url("/trickle")])


def test_the_bytes_of_a_job_are_limited(site: sites.Site, folder: JobFolder) -> None:
    """Many small files are one large input, also over several calls."""
    media = reader(site, max_job=1500)
    media.files([site.url("/a.png")] * 2)
    with pytest.raises(InputRefused, match=r"the job's inputs are over .*FACTORY_MAX_INPUTS_MB"):
        media.read(site.url("/a.png"))


@pytest.mark.parametrize("ending", [None, ValueError])
def test_the_folder_is_always_removed(ending: type[Exception] | None, tmp_path: Path, site: sites.Site) -> None:
    """Nothing of a job is left, however it ended and whatever its programs did to the folder."""

    def job() -> None:
        with JobFolder(tmp_path, "../../x y") as folder:
            assert folder.path.parent == tmp_path
            assert folder.path.stat().st_mode & 0o777 == 0o700
            reader(site).file(site.url("/a.png"))
            locked = folder.path / "deep" / "locked"
            locked.mkdir(parents=True)
            (locked / "file").write_text("x")
            locked.chmod(0o500)
            if ending:
                raise ending

    if ending:
        with pytest.raises(ending):
            job()
    else:
        job()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RuntimeError, match="no job is running"):
        JobFolder.current()


def test_locked_directories_are_removed_by_a_user_without_privileges() -> None:
    """What a program locked away, level by level, is removed too by a worker that isn't root."""
    with tempfile.TemporaryDirectory() as root:  # tmp_path lies below folders that only this user may enter
        Path(root).chmod(0o777)
        code = f"""
import os
from pathlib import Path
from worker_runtime.job_folder import JobFolder
if os.getuid() == 0:  # after the imports: the interpreter may lie where only root can read
    os.setuid(65534)
with JobFolder(Path({root!r}) / "jobs") as folder:
    deep = folder.path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    (deep / "file").write_text("x")
    for level, mode in ((deep, 0o000), (deep.parent, 0o300), (deep.parent.parent, 0o500), (folder.path, 0o100)):
        level.chmod(mode)
print(os.getuid() != 0, list(folder.path.parent.iterdir()))
"""
        project = Path(__file__).parents[2]
        done = subprocess.run([sys.executable, "-c", code], cwd=project, check=True, capture_output=True, text=True)
    assert done.stdout == "True []\n"


def test_jobs_at_once_have_folders_of_their_own(tmp_path: Path) -> None:
    """Two jobs in two threads don't see each other's folder."""
    seen: dict[str, Path] = {}
    both = threading.Barrier(2)

    def job(name: str) -> None:
        with JobFolder(tmp_path, name):
            both.wait()
            seen[name] = JobFolder.current().path
            both.wait()

    threads = [threading.Thread(target=job, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen["a"] != seen["b"]


def test_leftovers_of_dead_workers_are_removed(tmp_path: Path) -> None:
    """At a start, folders of processes that are gone, or had this one's id, go; a live peer's stays."""
    gone = os.fork()
    if gone == 0:
        os._exit(0)
    os.waitpid(gone, 0)
    for pid in (gone, os.getpid(), os.getppid()):
        (tmp_path / f"job-{pid}-x-y").mkdir()
    (tmp_path / "other").mkdir()
    assert JobFolder.remove_leftovers(tmp_path) == 2
    assert {path.name for path in tmp_path.iterdir()} == {f"job-{os.getppid()}-x-y", "other"}


class Twice:
    """A resolver that answers differently each time."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    def __call__(self, host: str, port: int) -> Sequence[str]:
        """Give the next answer."""
        return self.answers.pop(0)


def test_a_name_is_resolved_once_and_that_address_is_used(site: sites.Site) -> None:
    """What a name says the second time is never asked: the connection goes to what was checked."""
    rules = InputRules(allow=AllowList.parse([f"{site.host}"]))
    resolver = Twice(["127.0.0.1"], ["127.0.0.2"])
    url = f"http://rebound.test:{site.port}/a.png"
    assert MediaReader(rules, resolve=resolver).read(url) == PNG
    assert resolver.answers == [["127.0.0.2"]]
    assert site.seen[-1] == ("/a.png", f"rebound.test:{site.port}")


def test_a_name_that_turns_inward_on_a_redirect_is_refused(site: sites.Site) -> None:
    """Each hop is resolved and checked anew."""
    rules = InputRules(allow=AllowList.parse([f"{site.host}"]))
    resolver = Twice(["127.0.0.1"], ["169.254.169.254"])
    with pytest.raises(InputRefused, match=r"rebound\.test is at 169\.254\.169\.254"):
        MediaReader(rules, resolve=resolver).read(f"http://rebound.test:{site.port}/moved")


def test_the_next_address_is_tried(site: sites.Site) -> None:
    """A name with a dead address before a live one is read all the same."""
    rules = InputRules(allow=AllowList.parse([f"127.0.0.0/8:{site.port}"]))
    resolver = Twice(["127.9.9.9", "127.0.0.1"])
    assert MediaReader(rules, resolve=resolver).read(f"http://two.test:{site.port}/a.png") == PNG


def test_proxies_of_the_environment_are_ignored(site: sites.Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would connect for us to wherever it likes, so none is used."""
    with sites.serve({}) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url(""))
        assert reader(site).read(site.url("/a.png")) == PNG
        assert proxy.connections == 0


def test_https_asks_for_the_name_at_the_checked_address(tmp_path: Path) -> None:
    """TLS names and checks the host of the URL, though the connection goes to an address."""
    server, trust = sites.certified("files.test", tmp_path)
    with sites.serve(PAGES, tls=server) as site:
        rules = InputRules(allow=AllowList.parse([site.host]))
        secure = MediaReader(rules, resolve=lambda host, port: ["127.0.0.1"], trust=trust)
        assert secure.read(f"https://files.test:{site.port}/a.png") == PNG
        assert site.server_names == ["files.test"]
        assert site.seen == [("/a.png", f"files.test:{site.port}")]
        with pytest.raises(InputUnreadable, match=r"no connection to https://other\.test"):
            secure.read(f"https://other.test:{site.port}/a.png")
        with pytest.raises(InputUnreadable, match="certificate verify failed"):
            MediaReader(rules, resolve=lambda host, port: ["127.0.0.1"]).read(f"https://files.test:{site.port}/a.png")
