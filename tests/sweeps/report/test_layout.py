from xml.etree import ElementTree

from sweeps.report.drawing import new_figure
from sweeps.report.layout import figure, page, section


def test_a_page_is_well_formed_and_carries_its_texts_escaped():
    text = page("a < b", lead="<p>lead</p>", sections=[section("One & two", "<p>part</p>")], made="now & here")
    body = text[text.index("<body>") : text.index("<script>")]
    root = ElementTree.fromstring(body + "</body>")
    assert root.findtext("h1") == "a < b"
    assert root.findtext("section/h2") == "One & two"
    assert root.findtext("section/p") == "part"
    assert root.findall("p")[-1].text == "now & here"


def test_a_section_without_parts_says_why():
    assert "<p>Nothing &lt; here.</p>" in section("Title", "", empty="Nothing < here.")


def test_a_figure_is_inline_and_described_by_its_caption():
    drawn, axes = new_figure(3, 2)
    axes.plot([0, 1])
    text = figure(drawn, "line", "Look at the slope & the end.")
    root = ElementTree.fromstring(text)
    assert root[0].get("aria-label") == "Look at the slope & the end."
    assert root.findtext("figcaption") == "Look at the slope & the end."


def test_nothing_drawn_is_no_figure():
    assert figure(None, "none", "caption") == ""
