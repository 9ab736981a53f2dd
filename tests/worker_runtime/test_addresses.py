"""Which URLs are fetched: a corpus of spellings that must all be refused, and what is taken."""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import sites
from hypothesis import example, given
from hypothesis import strategies as st

from worker_runtime.addresses import Target, check, follow, is_public
from worker_runtime.errors import InputRefused, InputUnreadable, SettingsError, WorkerError
from worker_runtime.input_rules import AllowList, InputRules
from worker_runtime.inputs import MediaReader

NOTHING = AllowList()
PUBLIC = "93.184.215.14"

# Why → the URLs that are refused for it. PORT becomes the port of a listener on every loopback address.
REFUSED: dict[str, list[str]] = json.loads(Path(__file__).with_name("data").joinpath("refused_urls.json").read_text())
CORPUS = [(url, why) for why, urls in REFUSED.items() for url in urls]


class Names:
    """A resolver for the tests that keeps what it was asked."""

    def __init__(self, **answers: Sequence[str]) -> None:
        self.answers = {name.replace("_", "."): addresses for name, addresses in answers.items()}
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        """Answer, or raise OSError."""
        self.asked.append(host)
        if host not in self.answers:
            raise OSError("no such name")
        return self.answers[host]


def names() -> Names:
    """The names of the corpus: some lead inward with all or one of their addresses."""
    return Names(
        inward_test=["127.0.0.1"],
        both_test=[PUBLIC, "127.0.0.1"],
        sixth_test=["::ffff:127.0.0.1"],
        public_test=[PUBLIC],
    )


@pytest.fixture(scope="module")
def listener() -> Iterator[list[sites.Site]]:
    """The same port on 127.0.0.1 and, where the machine has it, on ::1: whoever connects is counted."""
    with ExitStack() as stack:
        fourth = stack.enter_context(sites.serve({"/": sites.page(b"inside")}))
        found = [fourth]
        if socket.has_ipv6:
            try:
                found.append(stack.enter_context(sites.serve({}, address="::1", port=fourth.port)))
            except OSError:  # a machine without an IPv6 loopback has nobody to reach there
                found = [fourth]
        yield found


def test_the_corpus_is_large() -> None:
    """There are far more than 60 spellings, each once."""
    assert len({url for url, _ in CORPUS}) == len(CORPUS) > 120


@pytest.mark.parametrize(("url", "why"), CORPUS)
def test_is_refused_without_a_connection(url: str, why: str, listener: list[sites.Site]) -> None:
    """Every spelling of an address that isn't public is refused for what it is, and nobody is connected to."""
    before = [site.connections for site in listener]
    with pytest.raises(InputRefused) as caught:
        MediaReader(InputRules(), resolve=names()).read(url.replace("PORT", str(listener[0].port)))
    assert why in str(caught.value)
    assert [site.connections for site in listener] == before


@pytest.mark.parametrize("location", [url for url, _ in CORPUS])
def test_is_refused_as_a_redirect_too(location: str, listener: list[sites.Site]) -> None:
    """A redirect to any of them is refused as well, or stays on the host that it came from."""
    origin = Target("http", "public.test", 80, "/", (PUBLIC,))
    try:
        found = check(follow(origin, location.replace("PORT", str(listener[0].port))), NOTHING, names())
    except WorkerError:
        return
    assert found.addresses == (PUBLIC,)


def test_the_listener_counts(listener: list[sites.Site]) -> None:
    """The proof can fail: an address that is opened on purpose is connected to, and counted."""
    inside = listener[0]
    before = inside.connections
    rules = InputRules(allow=AllowList.parse([inside.host]))
    assert MediaReader(rules).read(inside.url("/")) == b"inside"
    assert inside.connections == before + 1


@pytest.mark.parametrize(
    ("url", "host", "port", "target"),
    [
        ("https://public.test", "public.test", 443, "/"),
        ("HTTPS://Public.TEST./a/b.png?x=1&y=%20#part", "public.test", 443, "/a/b.png?x=1&y=%20"),
        ("http://public.test:80?q", "public.test", 80, "/?q"),
        ("http://public.test:/é b", "public.test", 80, "/%C3%A9%20b"),
        (f"http://{PUBLIC}/@x:y", PUBLIC, 80, "/@x:y"),
        ("http://[2606:2800:21F:0::1]/", "2606:2800:21f::1", 80, "/"),
    ],
)
def test_public_urls_have_one_spelling(url: str, host: str, port: int, target: str) -> None:
    """An ordinary URL is taken, and means one thing."""
    found = check(url, NOTHING, names())
    assert (found.host, found.port, found.path_and_query) == (host, port, target)
    assert check(found.url, NOTHING, names()) == found


def test_place_hides_the_query() -> None:
    """What is shown of a URL has no presigned query."""
    assert check("https://public.test/a?X-Amz-Signature=abc", NOTHING, names()).place == "https://public.test/a"


def test_a_name_that_resolves_to_nothing() -> None:
    """A name without an address is one sentence."""
    with pytest.raises(InputUnreadable, match=r"nowhere.test does not resolve"):
        check("https://nowhere.test/", NOTHING, names())
    with pytest.raises(InputUnreadable, match=r"empty.test has no address"):
        check("https://empty.test/", NOTHING, Names(empty_test=[]))


def test_refused_hosts_are_not_even_resolved() -> None:
    """No resolver learns of an internal name or an unusual spelling."""
    resolver = names()
    for url in ("http://localhost/", "http://127.1/", "http://x.internal/", "http://[::1]/"):
        with pytest.raises(InputRefused):
            check(url, NOTHING, resolver)
    assert resolver.asked == []


@pytest.mark.parametrize(
    ("entry", "opened", "closed"),
    [
        ("127.0.0.1:9000", "http://127.0.0.1:9000/", "http://127.0.0.1/"),
        ("127.0.0.1", "http://127.0.0.1/", "http://127.0.0.1:9000/"),
        ("10.1.0.0/16:*", "https://10.1.2.3:1/", "https://10.2.0.1/"),
        ("[::1]:8080", "http://[::1]:8080/", "http://[::1]:8081/"),
        ("[fd00::/8]", "http://[fd00::5]/", "http://[fc00::5]/"),
        ("inward.test:8443", "https://inward.test:8443/", "http://127.0.0.1:8443/"),
        ("127.0.0.0/8:*", "http://inward.test:5/", "http://both2.test:5/"),
        ("public.test:8443", "https://public.test:8443/", "https://public.test:8444/"),
        ("printer:631", "http://printer:631/", "http://printer/"),
        ("Files.Inside:*", "https://files.inside:99/", "https://sub.files.inside/"),
    ],
)
def test_allow_list(entry: str, opened: str, closed: str) -> None:
    """An entry opens what it names, and nothing beside it."""
    resolver = names()
    resolver.answers |= {"printer": ["10.0.0.9"], "files.inside": ["10.0.0.8"], "sub.files.inside": ["10.0.0.8"]}
    resolver.answers |= {"both2.test": ["127.0.0.1", "10.0.0.1"]}
    allow = AllowList.parse([entry])
    assert check(opened, allow, resolver).addresses
    with pytest.raises(InputRefused):
        check(closed, allow, resolver)


@pytest.mark.parametrize(
    "entry", ["http://x/", "a b", "10.0.0.1/99", "x:99999", "x:0", "300.1.1.1", "::1", "[::1", "a:b"]
)
def test_allow_list_entries_that_are_none(entry: str) -> None:
    """An entry that can't be read stops the worker with the entry in the sentence."""
    with pytest.raises(SettingsError, match="allow-list") as caught:
        AllowList.parse([entry])
    assert repr(entry) in str(caught.value)


IPV4 = st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address)


@given(IPV4)
@example(ipaddress.IPv4Address("169.254.169.254"))
def test_ipv4_inside_ipv6_is_never_public(inner: ipaddress.IPv4Address) -> None:
    """No way to hold an IPv4 address in an IPv6 one gets past, be the inner one public or not."""
    bits = int(inner)
    holders = {
        "mapped": (0xFFFF << 32) | bits,
        "compatible": bits,
        "translated": (0xFFFF << 48) | bits,
        "nat64": (0x64FF9B << 96) | bits,
        "local nat64": (0x64FF9B0001 << 80) | bits,
        "6to4": (0x2002 << 112) | (bits << 80),
        "teredo server": (0x20010000 << 96) | (bits << 64),
        "teredo client": (0x20010000 << 96) | (bits ^ 0xFFFFFFFF),
    }
    for way, number in holders.items():
        assert not is_public(ipaddress.IPv6Address(number)), way


@given(
    IPV4, st.sampled_from(["0x{0:x}", "{0}", "0{0:o}", "0x{1:x}.{2}", "{1}.{2}", "{1}.{3}.{4}", "0{1:o}.{5}.{6}.{7}"])
)
def test_other_spellings_of_any_ipv4_are_refused(address: ipaddress.IPv4Address, form: str) -> None:
    """Whatever inet_aton takes for an address, and isn't dotted decimal, is refused, also when it is public."""
    number = int(address)
    a, b, c, d = address.packed
    host = form.format(number, a, number & 0xFFFFFF, b, number & 0xFFFF, b, c, d)
    assert socket.inet_aton(host) == address.packed
    with pytest.raises(InputRefused):
        check(f"http://{host}/", NOTHING, names())


@given(st.text(max_size=60).map(lambda text: "http://" + text) | st.from_regex(r"https?://[^/]{0,40}(/.{0,20})?"))
def test_any_text_ends_in_a_target_or_a_worker_error(url: str) -> None:
    """No text makes anything else than a checked target or one of our errors, and a target is what others read too."""
    try:
        found = check(url, NOTHING, lambda host, port: [PUBLIC])
    except WorkerError:
        return
    assert all(is_public(ipaddress.ip_address(address)) for address in found.addresses)
    assert found.url.isascii()
    assert urlsplit(found.url).hostname == found.host
    assert check(found.url, NOTHING, lambda host, port: [PUBLIC]) == found


@given(st.ip_addresses())
def test_public_means_public_to_python_as_well(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """What is taken for public is nothing that Python knows as special."""
    if is_public(address):
        assert address.is_global
        assert not (address.is_private or address.is_multicast or address.is_loopback or address.is_link_local)
