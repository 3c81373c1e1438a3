"""When can we cross the bar? A date, a draught and a margin give the hours of the day with enough water."""

from __future__ import annotations

import os
from datetime import date, datetime, timezone

from shiny import App, reactive, render, ui

import tides

# Least depth over the bar at chart datum, in metres; negative would be a bar that dries.
BAR = float(os.environ.get("BAR_DEPTH_METRES", "0.8"))
WIDTH, DEPTH, TOP = 760, 260, 8.0

app_ui = ui.page_sidebar(
    ui.sidebar(
        ui.input_date("day", "Day (UTC)", value=datetime.now(timezone.utc).date()),
        ui.input_slider("draught", "Draught, metres", min=0.5, max=5.0, value=2.4, step=0.1),
        ui.input_slider("margin", "Water to keep under the keel, metres", min=0.0, max=2.0, value=0.6, step=0.1),
        ui.markdown(f"The bar of {tides.HARBOUR} has **{BAR:.1f} m** at chart datum. Swell is not counted: add it to the margin."),
    ),
    ui.layout_columns(
        ui.value_box("Height of tide needed", ui.output_text("needed")),
        ui.value_box("Hours open that day", ui.output_text("open_hours")),
    ),
    ui.card(ui.card_header("Depth over the bar"), ui.output_ui("picture")),
    ui.card(ui.card_header("Windows"), ui.output_ui("listing")),
    title="Passage window",
    fillable=False,
)


def windows(day: date, needed: float) -> list[tuple[datetime, datetime]]:
    """The stretches of a day during which the tide stands at least that high, to five minutes."""
    found: list[tuple[datetime, datetime]] = []
    begun = last = None
    for when, metres in tides.curve(day, minutes=5):
        if metres >= needed:
            begun, last = begun or when, when
        elif begun is not None and last is not None:
            found.append((begun, last))
            begun = None
    if begun is not None and last is not None:
        found.append((begun, last))
    return found


def drawing(day: date, needed: float) -> str:
    """The day's curve, with the open windows in green."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=timezone.utc)

    def x(when: datetime) -> float:
        return (when - midnight).total_seconds() / 86400 * WIDTH

    def y(metres: float) -> float:
        return DEPTH - metres / TOP * DEPTH

    points = " ".join(f"{x(when):.1f},{y(metres):.1f}" for when, metres in tides.curve(day))
    doors = "".join(
        f'<rect x="{x(begin):.1f}" width="{x(end) - x(begin):.1f}" height="{DEPTH}" fill="#52b788" fill-opacity="0.25"/>'
        for begin, end in windows(day, needed)
    )
    hours = "".join(
        f'<text x="{hour / 24 * WIDTH:.0f}" y="{DEPTH + 16}" text-anchor="middle">{hour:02}</text>' for hour in range(3, 24, 3)
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {DEPTH + 22}" style="width:100%" font-size="12" fill="#33566b" role="img" aria-label="Tide and windows">'
        f'<rect width="{WIDTH}" height="{DEPTH}" fill="#f2f8fb"/>{doors}'
        f'<polyline points="{points}" fill="none" stroke="#1d7fa3" stroke-width="2.5"/>'
        f'<line x2="{WIDTH}" y1="{y(needed):.1f}" y2="{y(needed):.1f}" stroke="#e07a5f" stroke-dasharray="6 4"/>'
        f'<text x="6" y="{y(needed) - 5:.1f}" fill="#e07a5f">{needed:.1f} m needed</text>{hours}</svg>'
    )


def server(input, output, session):  # noqa: A002 - the names are Shiny's
    @reactive.calc
    def needed_height() -> float:
        return max(0.0, input.draught() + input.margin() - BAR)

    @render.text
    def needed() -> str:
        return f"{needed_height():.1f} m"

    @render.text
    def open_hours() -> str:
        seconds = sum((end - begin).total_seconds() for begin, end in windows(input.day(), needed_height()))
        return f"{seconds / 3600:.1f} h"

    @render.ui
    def picture():
        return ui.HTML(drawing(input.day(), needed_height()))

    @render.ui
    def listing():
        found = windows(input.day(), needed_height())
        if not found:
            return ui.p("Not today: the tide does not rise that high. A lighter boat or a spring tide would help.")
        return ui.tags.ul(*(ui.tags.li(f"from {begin:%H:%M} to {end:%H:%M}") for begin, end in found))


app = App(app_ui, server)
