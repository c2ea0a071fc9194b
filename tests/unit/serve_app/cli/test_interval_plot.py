"""Intervals as text and as a picture."""

from xml.etree.ElementTree import fromstring

from serve_app.cli.interval_plot import Interval, Panel, svg, text_lines

PANEL = Panel("error_rate", (Interval("v1", 2.0, 0.0, 4.0), Interval("v2", 8.0, 6.0, 10.0)))


def test_intervals_of_a_metric_share_an_axis():
    assert list(text_lines([PANEL], width=11)) == [
        "error_rate",
        "  v1  |-o-|",
        "  v2        |-o-|",
        "      0        10",
    ]


def test_an_axis_without_length_has_its_value_in_the_middle():
    panel = Panel("m", (Interval("v1", 3.0, 3.0, 3.0),))
    assert panel.bounds == (2.5, 3.5)
    assert list(text_lines([panel], width=11))[1] == "  v1       o"


def test_nothing_measured_is_nothing_drawn():
    assert list(text_lines([])) == []
    fromstring(svg("empty", []))  # noqa: S314 - our own


def test_a_picture_has_every_interval_and_escapes_names():
    picture = fromstring(svg("a <b> \x01", [PANEL]))  # noqa: S314 - our own
    names = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a <b> \ufffd", "error_rate", "v1", "v2", "2 [0, 4]", "8 [6, 10]"} <= set(names)
    circles = list(picture.iter("{http://www.w3.org/2000/svg}circle"))
    assert [circle.get("cx") for circle in circles] == ["286.0", "514.0"]  # 210 + 0.2 * 380 and 210 + 0.8 * 380
