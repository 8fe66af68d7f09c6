"""Tables, whatever is in them and however little room there is."""

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from remediation_orchestrator.cli.support.tables import layout
from remediation_orchestrator.cli.support.wrapping import shortened, wrapped

words = st.integers(1, 30).map(lambda length: ("ab-/東ß" * 5)[:length])
cells = st.lists(words, max_size=6).map(" ".join)


@given(rows=st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=3), width=st.integers(40, 200))
def test_a_table_breaks_no_word_in_any_width(rows: list[tuple[str, ...]], width: int) -> None:
    """Each line is whole words, or one shortened word, and the table fits."""
    kept, widths = layout(("A", "B", "C"), [[Text(cell) for cell in row] for row in rows], width, ("B",))
    assert sum(widths) + 2 * (len(kept) - 1) <= width
    for row in rows:
        for number, each in zip(kept, widths, strict=True):
            whole = {shortened(word, each) for word in row[number].split(" ")}
            for line in wrapped(row[number], each):
                assert cell_len(line) <= each
                assert set(line.split(" ")) <= whole
