from load_tests.document import Picture, Table, Text, html, markdown

PARTS = [
    Text("5 < 6"),
    Table("speeds", ("server", "per s"), (("a|b", "1"), ("c", "2")), "of one run"),
    Picture("a curve", "curve.png"),
]


def test_markdown_has_tables_and_links_to_pictures():
    assert markdown("Report", PARTS) == (
        "# Report\n\n5 < 6\n\n## speeds\n\n| server | per s |\n| --- | ---: |\n| a\\|b | 1 |\n| c | 2 |\n\n"
        "of one run\n\n![a curve](curve.png)\n"
    )


def test_the_page_holds_its_pictures_and_escapes_text(tmp_path):
    (tmp_path / "curve.png").write_bytes(b"\x89PNG")
    page = html("Report", PARTS, tmp_path)
    assert '<img alt="a curve" src="data:image/png;base64,iVBORw==">' in page
    assert "<p>5 &lt; 6</p>" in page
    assert "<tr><td>a|b</td><td>1</td></tr>" in page
    assert "curve.png" not in page
