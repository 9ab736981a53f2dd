"""Image references: the grammar, the short forms of Docker Hub, and what is refused with which sentence."""

from __future__ import annotations

import docker.auth
import docker.errors
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.errors import FactoryError, RenderError, SettingsError
from factory.references import Reference, is_loopback, parse, shared_repository, with_prefix

HEX = "0123456789abcdef" * 4
SHA = f"sha256:{HEX}"

PARTS = st.from_regex(r"[a-z0-9]{1,6}((\.|_|__|-{1,3})[a-z0-9]{1,6}){0,2}", fullmatch=True)
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join).filter(lambda path: len(path) < 200)
HOSTS = st.sampled_from(["docker.io", "ghcr.io", "localhost", "localhost:5000", "127.0.0.1:5000", "r.example.com:443"])
TAGS = st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
DIGESTS = st.none() | st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True)
REFERENCES = st.builds(Reference, HOSTS, PATHS, TAGS, DIGESTS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ubuntu", Reference("docker.io", "library/ubuntu")),
        ("ubuntu:22.04", Reference("docker.io", "library/ubuntu", "22.04")),
        ("user/name", Reference("docker.io", "user/name")),
        ("docker.io/ubuntu", Reference("docker.io", "library/ubuntu")),
        ("index.docker.io/user/name", Reference("docker.io", "user/name")),
        ("127.0.0.1:5000/x", Reference("127.0.0.1:5000", "x")),
        ("localhost/x", Reference("localhost", "x")),
        ("[::1]:5000/x:T", Reference("[::1]:5000", "x", "T")),
        (f"ghcr.io/a/b/c:1@{SHA}", Reference("ghcr.io", "a/b/c", "1", SHA)),
        (f"a@{SHA}", Reference("docker.io", "library/a", None, SHA)),
        ("host:5000", Reference("docker.io", "library/host", "5000")),
    ],
)
def test_reads_every_form(text: str, expected: Reference) -> None:
    """Each form Docker knows gives registry, path, tag and digest."""
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the repository's name is missing"),
        ("User/x", "a repository's name is lower case; write user/x"),
        ("GHCR.io/x", "a repository's name is lower case; write ghcr.io/x"),
        ("ubuntu:", "'' is no tag"),
        ("ubuntu:a b", "'a b' is no tag"),
        ("a:" + "t" * 129, "is no tag"),
        ("a//b", "'a//b' is no repository name"),
        ("a/b_", "'a/b_' is no repository name"),
        ("a___b", "is no repository name"),
        ("a..b/c", "'a..b' is no registry"),
        ("-a.b/x", "'-a.b' is no registry"),
        ("[zz]:1/x", "'[zz]:1' is no registry"),
        ("[:::::]:1/x", "'[:::::]:1' is no registry"),
        (":5000/x", "':5000' is no registry"),
        ("ghcr.io/", "the repository's name is missing"),
        ("https://ghcr.io/a/b", "an image reference has no scheme; write ghcr.io/a/b"),
        ("a@sha256:12", "what follows '@' is no digest"),
        ("a@", "what follows '@' is no digest"),
        (HEX, "is no repository name"),
        ("ghcr.io/" + "a" * 250, "longer than 255 characters"),
        ("a\nb", "is no repository name"),
    ],
)
def test_refuses_in_one_sentence(text: str, sentence: str) -> None:
    """What is outside the grammar is refused with the part that is wrong."""
    with pytest.raises(RenderError) as caught:
        parse(text)
    assert sentence in str(caught.value)
    assert str(caught.value).startswith(text or "(empty)")


@given(REFERENCES)
def test_written_form_reads_back(reference: Reference) -> None:
    """The familiar form of a reference parses to that reference again."""
    normal = parse(f"{reference.registry}/{reference.path}")
    assert parse(str(normal)) == normal
    again = parse(str(Reference(normal.registry, normal.path, reference.tag, reference.digest)))
    assert (again.tag, again.digest) == (reference.tag, reference.digest)


@given(st.text(alphabet="aB0.:/@-_[]sh256 \n", max_size=30) | st.text(max_size=20) | REFERENCES.map(str))
def test_text_gives_a_reference_or_an_error(text: str) -> None:
    """Whatever is typed gives a reference that survives a round trip, or our own error."""
    try:
        reference = parse(text)
    except FactoryError:
        return
    assert parse(str(reference)) == reference


@given(st.builds("{}/{}".format, HOSTS, PATHS) | PATHS | st.text(alphabet="ab0./-_", min_size=1, max_size=25))
def test_agrees_with_docker_py(name: str) -> None:
    """A name that both we and docker-py accept lies on the same registry, at the same path."""
    try:
        ours = parse(name)
        registry, path = docker.auth.resolve_repository_name(name)
    except (FactoryError, docker.errors.DockerException):
        return
    if registry == "docker.io" and "/" not in path:
        path = f"library/{path}"  # docker-py leaves that to the engine
    assert (ours.registry, ours.path) == (registry, path)


@pytest.mark.parametrize(
    ("repository", "prefix", "expected"),
    [
        ("factory/minilm", None, "factory/minilm"),
        ("factory/minilm", "", "factory/minilm"),
        ("factory/minilm", "127.0.0.1:5000", "127.0.0.1:5000/factory/minilm"),
        ("factory/minilm", "ghcr.io/team/", "ghcr.io/team/factory/minilm"),
        ("docker.io/user/name", "127.0.0.1:5000", "127.0.0.1:5000/user/name"),
        ("ghcr.io:443/a/b", "127.0.0.1:5000", "127.0.0.1:5000/ghcr.io-443/a/b"),
    ],
)
def test_prefix_goes_before_the_repository(repository: str, prefix: str | None, expected: str) -> None:
    """A prefix replaces Docker Hub and turns another registry's name into a folder."""
    assert with_prefix(repository, prefix) == expected


def test_bad_prefix_is_a_setting() -> None:
    """A prefix that is no registry blames FACTORY_REGISTRY, not the recipe."""
    with pytest.raises(SettingsError, match="registry prefix"):
        with_prefix("factory/minilm", "http://127.0.0.1:5000")


@pytest.mark.parametrize(
    ("repository", "override", "expected"),
    [
        ("user/minilm", None, "user/factory-shared"),
        ("127.0.0.1:5000/factory/minilm", None, "127.0.0.1:5000/factory/factory-shared"),
        ("127.0.0.1:5000/minilm", None, "127.0.0.1:5000/factory-shared"),
        ("ghcr.io/org/team/minilm", "org/pool", "ghcr.io/org/pool"),
        ("user/minilm", "user/minilm", "user/minilm"),
    ],
)
def test_what_recipes_share_lies_beside_them(repository: str, override: str | None, expected: str) -> None:
    """The shared repository is in the same registry and namespace, unless FACTORY_SHARED names another path."""
    assert shared_repository(repository, override) == expected


def test_a_shared_repository_that_is_no_path_names_the_setting() -> None:
    """FACTORY_SHARED is to blame, not the recipe."""
    with pytest.raises(SettingsError, match="no path of a repository"):
        shared_repository("user/minilm", "No Such")


def test_at_replaces_the_tag() -> None:
    """`at` names the same repository by digest, and takes nothing but a digest."""
    reference = parse("user/name:1").at(SHA)
    assert str(reference) == f"user/name@{SHA}"
    assert reference.target == SHA
    with pytest.raises(RenderError, match="a digest is"):
        reference.at("latest")


@pytest.mark.parametrize(
    ("registry", "expected"),
    [
        ("127.0.0.1:5000", True),
        ("127.9.9.9", True),
        ("localhost:5000", True),
        ("[::1]:5000", True),
        ("docker.io", False),
        ("10.0.0.1:5000", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
    ],
)
def test_knows_this_machine(registry: str, expected: bool) -> None:
    """Only addresses of this machine count as loopback."""
    assert is_loopback(registry) is expected
