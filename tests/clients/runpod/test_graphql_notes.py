"""The note in a template's readme: what endpoints still run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from factory.clients.runpod.graphql_notes import Running, notes_in, still_runs, with_notes

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
RUNNING = st.builds(
    Running,
    image=TEXT,
    disk_gb=st.integers(1, 1000),
    env=st.dictionaries(TEXT, st.one_of(TEXT, st.just("--> } {")), max_size=4),
    login_id=st.none() | TEXT,
    version=st.none() | st.integers(1, 99),
)
NOTES = st.dictionaries(TEXT, RUNNING, min_size=1, max_size=3)


@given(readme=TEXT, notes=NOTES)
def test_a_note_comes_back_as_it_was_written(readme: str, notes: dict[str, Running]) -> None:
    """Whatever a container's values are, the note gives them back."""
    read = notes_in(with_notes(readme, notes))
    assert read == notes
    assert {key: note.version for key, note in read.items()} == {key: note.version for key, note in notes.items()}


@given(readme=TEXT, first=NOTES, second=NOTES)
def test_what_people_wrote_stays(readme: str, first: dict[str, Running], second: dict[str, Running]) -> None:
    """A readme is as it was once the notes are gone, however many there were one after another."""
    noted = with_notes(with_notes(readme, first), second)
    assert notes_in(noted) == second
    assert with_notes(noted, {}) == readme


@given(st.one_of(TEXT, st.none(), st.just('<!-- factory: endpoints still run {"ep": 3} -->')))
def test_a_readme_without_our_note_has_none(readme: str | None) -> None:
    """No readme, prose, and a note that somebody changed by hand all read as no note."""
    assert notes_in(readme) == {}


def test_a_note_holds_for_one_version() -> None:
    """Once the endpoint was saved it runs what its template says, whether the note was taken out or not."""
    running = Running("acme/demo:1", 10, version=3)
    readme = with_notes("", {"ep": running})
    assert still_runs(readme, "ep", 3) == running
    assert [still_runs(readme, *other) for other in (("ep", 4), ("ep", None), ("other", 3))] == [None, None, None]
