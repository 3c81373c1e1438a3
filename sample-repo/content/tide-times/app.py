"""Tide times for Gullhaven: a page for people, and the same numbers as JSON for programs."""

from __future__ import annotations

import os
from datetime import date, datetime, timedelta, timezone
from html import escape

from fastapi import FastAPI, Query
from fastapi.responses import HTMLResponse, Response

import tides

HARBOUR = os.environ.get("HARBOUR_NAME", tides.HARBOUR)

# The interactive documentation loads its scripts from elsewhere; /openapi.json is enough here.
app = FastAPI(title=f"Tide times at {HARBOUR}", version="1.0.0", docs_url=None, redoc_url=None)


def now() -> datetime:
    """This moment in UTC."""
    return datetime.now(timezone.utc)


@app.get("/api/now", summary="The height at this moment, and what comes next")
def current() -> dict:
    moment = now()
    coming = [turn for day in (0, 1) for turn in tides.turns(moment.date() + timedelta(days=day)) if turn.when > moment]
    return {
        "harbour": HARBOUR,
        "time": moment.isoformat(timespec="seconds"),
        "height_m": round(tides.height(moment), 2),
        "rate_m_per_hour": round(tides.rate(moment), 2),
        "state": "rising" if tides.rate(moment) > 0 else "falling",
        "next": as_json(coming[0]) if coming else None,
    }


@app.get("/api/day/{day}", summary="High and low waters of one day (UTC)")
def one_day(day: date) -> dict:
    return {"harbour": HARBOUR, "date": day.isoformat(), "turns": [as_json(turn) for turn in tides.turns(day)]}


@app.get("/api/week/{day}", summary="The seven days from a date, with the range of each")
def one_week(day: date) -> dict:
    days = []
    for offset in range(7):
        heights = [turn.height for turn in tides.turns(day + timedelta(days=offset))]
        days.append({"date": (day + timedelta(days=offset)).isoformat(), "range_m": round(max(heights) - min(heights), 2)})
    return {"harbour": HARBOUR, "days": days}


@app.get("/curve.svg", summary="The day's curve as a picture")
def picture(day: date | None = Query(default=None, description="defaults to today")) -> Response:
    return Response(drawing(day or now().date()), media_type="image/svg+xml")


@app.get("/healthz", include_in_schema=False)
def health() -> dict:
    return {"status": "afloat"}


@app.get("/", response_class=HTMLResponse, include_in_schema=False)
def page(day: date | None = None) -> str:
    shown = day or now().date()
    state = current()
    rows = "".join(
        f"<tr><td>{turn.kind} water</td><td>{turn.when:%H:%M}</td><td>{turn.height:.1f} m</td></tr>"
        for turn in tides.turns(shown)
    )
    arrow = "&#8599;" if state["state"] == "rising" else "&#8600;"
    return PAGE.format(
        harbour=escape(HARBOUR),
        day=f"{shown:%A %d %B %Y}",
        before=(shown - timedelta(days=1)).isoformat(),
        after=(shown + timedelta(days=1)).isoformat(),
        height=f"{state['height_m']:.1f}",
        arrow=arrow,
        state=state["state"],
        rows=rows,
        curve=drawing(shown),
    )


def as_json(turn: tides.Turn) -> dict:
    """A high or low water as programs read it."""
    return {"kind": turn.kind, "time": turn.when.isoformat(timespec="minutes"), "height_m": round(turn.height, 2)}


def drawing(day: date) -> str:
    """The curve of a day as SVG, with its turns named and the present moment marked."""
    width, depth, top = 720, 240, 7.0

    def x(when: datetime) -> float:
        start = datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
        return (when - start).total_seconds() / 86400 * width

    def y(metres: float) -> float:
        return depth - metres / top * depth

    line = " ".join(f"{x(when):.1f},{y(metres):.1f}" for when, metres in tides.curve(day))
    labels = "".join(
        f'<circle cx="{x(turn.when):.1f}" cy="{y(turn.height):.1f}" r="4" fill="#0b3954"/>'
        f'<text x="{min(max(x(turn.when), 30), width - 30):.1f}" y="{y(turn.height) - 10:.1f}" text-anchor="middle">'
        f"{turn.when:%H:%M} {turn.height:.1f} m</text>"
        for turn in tides.turns(day)
    )
    moment, mark = now(), ""
    if moment.date() == day:
        mark = (
            f'<line x1="{x(moment):.1f}" x2="{x(moment):.1f}" y1="0" y2="{depth}" stroke="#e07a5f" stroke-dasharray="4 4"/>'
            f'<circle cx="{x(moment):.1f}" cy="{y(tides.height(moment)):.1f}" r="6" fill="#e07a5f"/>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {depth}" role="img" '
        f'aria-label="Height of tide on {day.isoformat()}" font-family="Georgia, serif" font-size="12" fill="#0b3954">'
        f'<rect width="{width}" height="{depth}" fill="#eef6fb"/>'
        f'<polygon points="0,{depth} {line} {width},{depth}" fill="#8ecae6" fill-opacity="0.7"/>'
        f'<polyline points="{line}" fill="none" stroke="#219ebc" stroke-width="2"/>{labels}{mark}</svg>'
    )


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Tides at {harbour}</title>
<style>
  body {{ font: 1.05rem/1.5 Georgia, serif; color: #0b3954; background: #fbfaf6; max-width: 48rem; margin: 2rem auto; padding: 0 1rem }}
  h1 {{ font-weight: normal; letter-spacing: .02em; margin-bottom: 0 }}
  .now {{ font-size: 2.4rem; margin: .5rem 0 1rem }} .now small {{ font-size: 1rem; color: #5b7b8c }}
  svg {{ width: 100%; height: auto; border-radius: .5rem }}
  table {{ border-collapse: collapse; width: 100%; margin-top: 1rem }} td {{ padding: .3rem .5rem; border-bottom: 1px solid #dbe7ee }}
  nav {{ display: flex; justify-content: space-between; margin: .5rem 0 }} a {{ color: #1d7fa3 }}
  footer {{ margin-top: 2rem; color: #5b7b8c; font-size: .9rem }}
</style></head><body>
<h1>Tides at {harbour}</h1>
<div class="now">{height} m {arrow} <small>and {state}, at this moment</small></div>
<nav><a href="?day={before}">day before</a><strong>{day}</strong><a href="?day={after}">day after</a></nav>
{curve}
<table>{rows}</table>
<footer>Times are UTC, heights are metres above chart datum. For programs: <a href="api/now">api/now</a>,
<a href="api/day/{after}">api/day/{after}</a>, <a href="curve.svg">curve.svg</a>, <a href="openapi.json">openapi.json</a>.
The harbour is invented; please do not navigate by it.</footer>
</body></html>
"""
