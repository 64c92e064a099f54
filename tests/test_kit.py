"""The widgets of a panel: looks that are shared, and nothing left when it closes."""

import ipywidgets as widgets

from gradlab.locale import Text
from gradlab.panel.kit import Kit


def test_widgets_that_look_alike_share_one_layout_and_one_style():
    kit = Kit(Text("en"))
    wide, as_wide, narrow = (kit(widgets.Dropdown, layout={"width": width}) for width in ("9px", "9px", "5px"))
    assert (wide.layout.width, narrow.layout.width) == ("9px", "5px")
    assert wide.layout is as_wide.layout is not narrow.layout
    assert wide.style is as_wide.style is narrow.style
    labelled = kit(widgets.Dropdown, layout={"width": "9px"}, style={"description_width": "60px"})
    assert labelled.layout is wide.layout
    assert labelled.style.description_width == "60px"
    assert wide.style.description_width != "60px"
    kit.close()


def test_each_kind_of_widget_has_the_style_that_it_would_make_itself():
    kit = Kit(Text("en"))
    for kind in (widgets.Button, widgets.ToggleButton, widgets.Checkbox, widgets.FloatSlider, widgets.HTML):
        alone = kind()
        assert type(kit(kind).style) is type(alone.style)
        alone.close()
    assert kit(widgets.Image).layout is kit.html().layout
    kit.close()


def test_a_layout_of_its_own_is_nobody_elses():
    kit = Kit(Text("en"))
    own = widgets.Layout(display="none")
    hidden, shown = kit(widgets.HTML, layout=own), kit.html()
    assert hidden.layout is own
    own.display = ""
    assert shown.layout.display is None
    kit.close()
    assert all(widget.comm is None for widget in (hidden, own, shown, shown.layout, shown.style))


def test_a_button_has_its_words_and_tip_in_the_panels_language():
    kit = Kit(Text("zh"))
    button = kit.button("button.back", "tip.back", step=7)
    assert "7" in button.description
    assert (button.description, button.tooltip) == (kit.text("button.back", step=7), kit.text("tip.back"))
    assert button.layout.width == "auto"
    kit.close()
